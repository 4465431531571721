//! A client whose registry follows a script.

use longshore::model::Reference;
use longshore::transport::{Exchange, ScriptedTransport, TestClock};
use longshore::{Client, Repository};

/// A client that asks once.
pub(crate) fn client(script: impl IntoIterator<Item = Exchange>) -> (Client, ScriptedTransport) {
    let transport = ScriptedTransport::new(script);
    let client = Client::builder()
        .transport(transport.clone())
        .clock(TestClock::default())
        .attempts(1)
        .build()
        .unwrap();
    (client, transport)
}

/// The repository `app` of `r.example`, through such a client.
pub(crate) async fn repository(
    script: impl IntoIterator<Item = Exchange>,
) -> (Repository, ScriptedTransport) {
    let (client, transport) = client(script);
    let reference: Reference = "r.example/app:1".parse().unwrap();
    (client.repository(&reference).await.unwrap(), transport)
}
