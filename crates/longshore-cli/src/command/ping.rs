//! `longshore ping REGISTRY`

use serde_json::json;

use crate::args::{Output, Ping};
use crate::connect;
use crate::exit::Failure;
use crate::output;

pub(crate) async fn run(args: Ping) -> Result<(), Failure> {
    let registry = connect::registry(&args.registry)?;
    let client = connect::client(&args.connection, &[registry])?;
    let answer = client.ping(registry).await?;
    match args.connection.output {
        Output::Json => output::json(&json!({
            "registry": args.registry,
            "named": answer.named,
        })),
        Output::Text => output::text(&format!("{} is a registry and may be used", args.registry)),
    }
}
