//! A registry that demands tokens, the server that gives them, and a multi-platform image.
//!
//! `cargo xtask demo` and the binary `longshore-testkit-demo` show a pull with it; nothing else
//! than loopback is needed.

use std::io;

use longshore_model::Platform;
use serde_json::{Value, json};

use crate::content::mix;
use crate::image::{self, Image, Tree};
use crate::registry::Registry;
use crate::token::TokenServer;
use crate::{Listen, RecordedRequest};

/// What a demonstration runs on.
#[derive(Debug)]
pub struct Demo {
    registry: Registry,
    tokens: TokenServer,
    tree: Tree,
}

impl Demo {
    /// Starts both servers on loopback, in the clear.
    ///
    /// # Errors
    ///
    /// When an address cannot be listened on.
    pub fn start(settings: &Settings) -> io::Result<Self> {
        let listen = |port| Listen::loopback().port(port);
        let tokens = TokenServer::builder().listen(listen(settings.token_port));
        let tokens = match &settings.user {
            Some((name, password)) => tokens.user(name, password),
            None => tokens,
        };
        let tokens = tokens.start()?;
        let tree = image::index_of(
            (0..)
                .zip(image::platforms())
                .map(|(number, platform)| platform_image(mix(SEED, number), platform))
                .collect(),
        );
        let registry = Registry::builder()
            .listen(listen(settings.registry_port))
            .image(REPOSITORY, TAG, &tree)
            .bearer(&tokens)
            .start()?;
        Ok(Self {
            registry,
            tokens,
            tree,
        })
    }

    /// The registry.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The token server.
    #[must_use]
    pub fn tokens(&self) -> &TokenServer {
        &self.tokens
    }

    /// The image.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// What to pull.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{}/{REPOSITORY}:{TAG}", self.registry.authority())
    }

    /// Tells `log` of each request from now on: whose it was (`registry` or `tokens`), and what.
    pub fn watch(&self, log: impl Fn(&str, &RecordedRequest) + Clone + Send + 'static) {
        let registry = log.clone();
        self.registry
            .requests()
            .watch(move |request| registry("registry", request));
        self.tokens
            .requests()
            .watch(move |request| log("tokens", request));
    }

    /// Where everything is, for a program that started this one: `registry`, `realm`,
    /// `references`, `digest`, `platforms` and `bytes`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let platforms: Vec<_> = self
            .tree
            .children()
            .iter()
            .filter_map(|child| child.descriptor().platform.as_deref())
            .map(Platform::to_string)
            .collect();
        json!({
            "registry": self.registry.authority(),
            "realm": self.tokens.realm(),
            "references": [self.reference()],
            "digest": self.tree.digest().as_str(),
            "platforms": platforms,
            "bytes": self.tree.total_bytes(),
        })
    }
}

/// What can be chosen about a [`Demo`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Settings {
    /// The registry's port; 0 is any.
    pub registry_port: u16,
    /// The token server's port; 0 is any.
    pub token_port: u16,
    /// The only user who gets tokens, with a password; `None` gives them to everyone.
    pub user: Option<(String, String)>,
}

fn platform_image(seed: u64, platform: Platform) -> Tree {
    Image::new(seed)
        .platform(platform)
        .layers(LAYERS, LAYER_BYTES)
        .build()
}

const REPOSITORY: &str = "demo/app";
const TAG: &str = "1.0";
const SEED: u64 = 0x1095_0e0e;
const LAYERS: u64 = 4;
const LAYER_BYTES: u64 = 100_000;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::testing::{get, get_with};

    #[test]
    fn it_demands_a_token_gives_one_and_tells_of_each_request() {
        let demo = Demo::start(&Settings::default()).unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        demo.watch(move |who, request| {
            kept.lock()
                .unwrap()
                .push(format!("{who} {}", request.line()));
        });
        let manifest = format!(
            "http://{}/v2/demo/app/manifests/1.0",
            demo.registry().authority()
        );
        assert_eq!(get(&manifest).status, 401);
        let granted = get(&format!(
            "{}?scope=repository:demo/app:pull",
            demo.tokens().realm()
        ));
        let bearer = format!("Bearer {}", granted.json()["token"].as_str().unwrap());
        assert_eq!(
            get_with(&manifest, &[("authorization", &bearer)]).status,
            200
        );
        assert_eq!(
            *lines.lock().unwrap(),
            [
                "registry GET /v2/demo/app/manifests/1.0 anonymous -> 401",
                "tokens GET /token?scope=repository:demo/app:pull anonymous -> 200",
                "registry GET /v2/demo/app/manifests/1.0 bearer -> 200",
            ]
        );
        assert_eq!(demo.to_json()["references"][0], demo.reference());
        assert_eq!(demo.to_json()["platforms"][0], "linux/amd64");
    }
}
