//! What a caller is told when it did not work: a kind to decide by, and one safe line.

use std::sync::{Arc, Mutex};

use longshore::transport::{Phase, TransportError, TransportErrorKind, from_fn};
use longshore::{
    Cause, Credential, CredentialError, CredentialSource, Error, ErrorKind, HostSettings,
};

use crate::support::{Net, app, basic, builder, chain, reference, reply};

async fn refused(net: &Net) -> Error {
    let app = app(builder(net).build().unwrap()).await;
    app.manifest(&"v1".parse().unwrap()).await.unwrap_err()
}

// OU5
#[tokio::test]
async fn each_answer_has_its_kind_and_its_text() {
    let code = |code: &str| format!(r#"{{"errors":[{{"code":"{code}","message":"why"}}]}}"#);
    for (status, body, kind, text) in [
        (
            400,
            code("UNSUPPORTED"),
            ErrorKind::Unsupported,
            "the registry does not support it (status 400, UNSUPPORTED (why))",
        ),
        (
            400,
            String::new(),
            ErrorKind::Protocol,
            "the registry refuses (status 400)",
        ),
        (
            403,
            code("DENIED"),
            ErrorKind::Denied,
            "denied (status 403, DENIED (why))",
        ),
        (
            404,
            code("MANIFEST_UNKNOWN"),
            ErrorKind::NotFound,
            "not found (status 404, MANIFEST_UNKNOWN (why))",
        ),
        (
            404,
            "<p>no".to_owned(),
            ErrorKind::NotFound,
            "not found (status 404, \"<p>no\")",
        ),
        (
            405,
            String::new(),
            ErrorKind::Unsupported,
            "the registry does not support it (status 405)",
        ),
        (
            429,
            code("TOOMANYREQUESTS"),
            ErrorKind::RateLimited,
            "too many requests (status 429, TOOMANYREQUESTS (why)) after 5 attempts",
        ),
        (
            500,
            String::new(),
            ErrorKind::Unavailable,
            "the registry cannot answer (status 500) after 5 attempts",
        ),
        (
            501,
            String::new(),
            ErrorKind::Unsupported,
            "the registry does not support it (status 501)",
        ),
    ] {
        let net = Net::serving(move |_| reply(status, &[], body.clone().into_bytes()));
        let error = refused(&net).await;
        assert_eq!(error.kind(), kind, "{status}");
        assert_eq!(
            error.to_string(),
            format!("cannot read manifest v1 of app from r.example.com: {text}")
        );
        assert_eq!(error.registry(), "r.example.com");
    }
}

// OU5, and no line says what the next one says, too.
#[tokio::test]
async fn ou5_each_cause_has_its_text() {
    let digest = |text: &'static str| longshore::model::Digest::sha256(text.as_bytes());
    let (right, wrong) = (digest("hello"), digest("other"));
    let other = wrong.to_string();
    let cases: [(Net, bool, String); 10] = [
        (
            Net::serving(|_| reply(401, &[("www-authenticate", "Bearer")], "go away")),
            false,
            "authentication failed (status 401, \"go away\"): the Bearer challenge of \
            https://r.example.com has no realm, so there is no token endpoint"
                .to_owned(),
        ),
        (
            Net::serving(|_| reply(307, &[("location", "http://r.example.net/")], "")),
            false,
            "it is redirected to a forbidden place: a redirect was refused: the URL leads from \
             https to http://r.example.net, which is not encrypted"
                .to_owned(),
        ),
        (
            Net::serving(|_| reply(307, &[], "")),
            false,
            "it is redirected to a forbidden place: status 307 without one Location header"
                .to_owned(),
        ),
        (
            Net::serving(|_| reply(200, &[("content-length", "9000000")], "")),
            false,
            "larger than 8388608 bytes".to_owned(),
        ),
        (
            Net::serving(|_| reply(206, &[], "")),
            false,
            "the answer violates the protocol: the registry breaks distribution-spec \"Pulling \
             manifests\": status 206"
                .to_owned(),
        ),
        (
            Net::serving(|_| reply(200, &[], "{}")),
            false,
            "the document is not a manifest: the document is neither an image manifest nor an \
             index"
                .to_owned(),
        ),
        (
            Net::serving(|_| reply(200, &[], " <!DOCTYPE html><title>Log in</title>")),
            false,
            "the answer is a web page, not an answer of a registry".to_owned(),
        ),
        (
            Net::serving(move |_| reply(200, &[("docker-content-digest", &other)], "hello")),
            true,
            format!(
                "the content does not match its digest or size: the registry sends a blob of \
                 digest {wrong}"
            ),
        ),
        (
            Net::serving(|_| reply(200, &[], "other")),
            true,
            format!(
                "the content does not match its digest or size: \
                 content has digest {wrong}, expected {right}"
            ),
        ),
        (
            Net::serving(|_| reply(200, &[], "hello and more")),
            true,
            "the content does not match its digest or size: the descriptor says 5 bytes, but the \
             registry has more: the size in the descriptor is wrong, or the registry has other \
             content"
                .to_owned(),
        ),
    ];
    for (net, is_blob, expected) in cases {
        let (error, what) = if is_blob {
            let app = app(builder(&net).build().unwrap()).await;
            let reader = app.blob(&right, Some(5)).unwrap();
            (reader.bytes(5).await.unwrap_err(), format!("blob {right}"))
        } else {
            (refused(&net).await, "manifest v1".to_owned())
        };
        let place = format!("cannot read {what} of app from r.example.com: ");
        assert_eq!(
            chain(&error).strip_prefix(&place),
            Some(&*expected),
            "{}",
            chain(&error)
        );
        assert_eq!(format!("{error:?}"), chain(&error));
        assert_eq!(net.lines().len(), 1);
    }
}

#[tokio::test]
async fn a_registry_that_cannot_be_reached_is_told_with_the_reason() {
    let net = Net::over(from_fn(|_| async {
        Err(TransportError::new(
            TransportErrorKind::Connect,
            Phase::Connect,
        ))
    }));
    let error = refused(&net).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(
        chain(&error),
        "cannot read manifest v1 of app from r.example.com: no answer after 5 attempts: \
         no connection could be made (while connecting)"
    );
}

// OU1
#[tokio::test]
async fn ou1_what_a_registry_says_cannot_write_to_the_terminal() {
    let evil = "\u{1b}[2J\u{7}\u{202e}\u{9b}31m\r\nx";
    let json = format!(
        r#"{{"errors":[{{"code":{0},"message":{0}}}]}}"#,
        r#""\u001b[2J\u0007\u202e\u009b31m\r\nx""#
    );
    let nets = [
        Net::serving(move |_| reply(404, &[], evil)),
        Net::serving(move |_| reply(404, &[], json.clone().into_bytes())),
        Net::serving(|_| reply(401, &[("www-authenticate", "Evil\u{9b} x")], "")),
        Net::serving(move |_| {
            reply(
                401,
                &[("www-authenticate", "Bearer realm=\"\u{9b}[2J\"")],
                evil,
            )
        }),
        Net::serving(move |_| reply(307, &[("location", "\u{9b}31m://x")], evil)),
        Net::serving(move |_| reply(200, &[("docker-content-digest", "\u{9b}31m")], "{}")),
        Net::serving(move |_| reply(200, &[("content-type", "\u{9b}31m")], "{}")),
        Net::serving(move |_| reply(200, &[], "{\"mediaType\":\"\u{202e}\"}")),
    ];
    for (index, net) in nets.into_iter().enumerate() {
        let error = refused(&net).await;
        for text in [chain(&error), format!("{error:?}")] {
            let bad = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
            assert!(!text.contains(bad), "{index}: {text:?}");
        }
    }
}

// OU3: a secret appears in no error and in no notice, whoever repeats it.
#[tokio::test]
async fn ou3_what_a_registry_sends_back_of_a_secret_is_not_shown() {
    for (echo, shown) in [
        ("you sent Basic YWhhYjp3aGl0ZS13aGFsZQ==", false),
        ("ahab:white-whale has no access", false),
        ("ahab has no access", true),
    ] {
        let net = Net::serving(move |seen| match seen.header("authorization") {
            Some(_) => reply(403, &[("docker-content-digest", echo)], echo),
            None => reply(401, &[("www-authenticate", "Basic realm=\"r\"")], ""),
        });
        let notices = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&notices);
        let client = builder(&net)
            .credentials(basic())
            .on_notice(move |notice| told.lock().unwrap().push(notice.to_string()));
        let app = app(client.build().unwrap()).await;
        let error = app.manifest(&"v1".parse().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        let texts = [chain(&error), format!("{error:?}")];
        assert!(
            texts.iter().all(|text| text.contains("no access") == shown),
            "{texts:?}"
        );
        assert_eq!(notices.lock().unwrap().len(), usize::from(shown));
    }
}

// OU1: nor is it quoted at any length.
#[tokio::test]
async fn ou1_documents_of_the_wrong_shape_are_not_quoted() {
    let long = "\u{202e}long".repeat(10_000);
    let mut quoted = 0;
    for body in [
        format!(r#"{{"schemaVersion":"{long}"}}"#),
        format!(r#"{{"schemaVersion":2,"mediaType":"{long}"}}"#),
        format!(r#"{{"schemaVersion":2,"layers":[{{"digest":"{long}"}}]}}"#),
        format!(r#"{{"tags":"{long}"}}"#),
        format!(r#"{{"tags":[{{"{long}":1}}]}}"#),
        long,
    ] {
        let net = Net::serving(move |_| reply(200, &[], body.clone().into_bytes()));
        let app = app(builder(&net).build().unwrap()).await;
        let manifest = app.manifest(&"v1".parse().unwrap()).await.err();
        let tags = app.tags(None, None).collect().await.err();
        assert!(manifest.is_some());
        for error in manifest.iter().chain(&tags) {
            assert_eq!(error.kind(), ErrorKind::Protocol);
            let text = chain(error);
            assert!(text.len() < 2_000 && !text.contains('\u{202e}'), "{text}");
        }
        quoted += usize::from(tags.is_some());
    }
    // An entry of a list that is not a string is listed as it was sent.
    assert_eq!(quoted, 2);
}

// LI: 64 KiB are read of an error, and what is shown is a line.
#[tokio::test]
async fn li_a_long_error_is_cut_and_not_lost() {
    for body in [
        "x".repeat(1 << 20),
        format!("x{}", "\u{e4}".repeat(100_000)),
    ] {
        let net = Net::serving(move |_| reply(404, &[], body.clone().into_bytes()));
        let text = refused(&net).await.to_string();
        assert!(text.contains("xx") || text.contains("x\u{e4}"), "{text}");
        assert!(text.chars().count() < 700, "{}", text.len());
    }
}

struct Broken;

impl CredentialSource for Broken {
    async fn lookup(&self, registry: &str) -> Result<Option<Credential>, CredentialError> {
        Err(CredentialError::new(
            registry,
            "the helper is not installed",
        ))
    }
}

// CR11: no falling back to nobody.
#[tokio::test]
async fn credentials_that_cannot_be_had_end_the_call() {
    let net = Net::serving(|_| reply(401, &[("www-authenticate", "Basic realm=r")], ""));
    let app = app(builder(&net).credentials(Broken).build().unwrap()).await;
    let error = app.manifest(&"v1".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(matches!(error.cause(), Cause::Credentials(_)), "{error:?}");
    assert!(chain(&error).ends_with(
        "no credentials: the credentials for r.example.com cannot be read: \
         the helper is not installed"
    ));
    assert_eq!(net.lines().len(), 1);
}

#[tokio::test]
async fn settings_that_lead_nowhere_are_told_before_anything_is_sent() {
    let net = Net::serving(|seen| panic!("{seen:?}"));
    for url in [
        "r.example.com",
        "https://u:p@r.example.com",
        "https://r.example.com/?q",
        "https://",
    ] {
        let mut settings = HostSettings::default();
        settings.base_url = Some(url.to_owned());
        let client = builder(&net)
            .host("r.example.com", settings)
            .build()
            .unwrap();
        let error = client
            .repository(&reference("r.example.com/app"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{url}");
    }
}

#[tokio::test]
async fn a_ping_tells_a_registry_from_a_web_site() {
    let named = ("docker-distribution-api-version", "registry/2.0");
    let net = Net::serving(move |seen| {
        assert_eq!(seen.uri, "https://r.example.com/v2/");
        reply(200, &[named], "{}")
    });
    assert!(
        builder(&net)
            .build()
            .unwrap()
            .ping("r.example.com")
            .await
            .unwrap()
            .named
    );
    let net = Net::serving(|_| reply(200, &[], "<html>"));
    let client = builder(&net).build().unwrap();
    let error = client.ping("r.example.com").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(matches!(error.cause(), Cause::WebPage), "{error:?}");
    let net = Net::serving(|_| reply(200, &[], ""));
    assert!(
        !builder(&net)
            .build()
            .unwrap()
            .ping("r.example.com")
            .await
            .unwrap()
            .named
    );
    for (status, kind) in [(404, ErrorKind::NotFound), (204, ErrorKind::Protocol)] {
        let net = Net::serving(move |_| reply(status, &[], ""));
        let error = builder(&net)
            .build()
            .unwrap()
            .ping("r.example.com")
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{status}");
    }
}
