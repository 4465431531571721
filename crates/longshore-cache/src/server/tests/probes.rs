use super::*;

fn readiness() -> Readiness {
    let healthy = UpstreamReadiness::new("quay.io".parse().unwrap());
    let refused = UpstreamReadiness::new("docker.io".parse().unwrap())
        .with_failure("denied: \u{1b}[2J")
        .with_credential_refused()
        .with_quota(Some(3), Some(100));
    Readiness::new()
        .with_store(StoreHealth::new(true, 5, 9))
        .with_upstream(healthy.with_offline())
        .with_upstream(refused)
}

async fn ask(address: SocketAddr, path: &str) -> (String, String) {
    let answer = exchange(address, &get_and_close(path)).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    (status.to_owned(), body.to_owned())
}

fn said(status: &str, body: &str) -> (String, String) {
    (status.to_owned(), body.to_owned())
}

#[tokio::test]
async fn probes_of_clients_see_the_status_alone() {
    let server = start(|builder| builder.readiness(readiness)).await;
    let ready = said("200", r#"{"status":"ready"}"#);
    assert_eq!(ask(server.address, "/readyz").await, ready);
    let alive = said("200", r#"{"status":"alive"}"#);
    assert_eq!(ask(server.address, "/healthz").await, alive);
    // Listeners for clients serve no metrics: the service gets the request.
    assert_eq!(ask(server.address, "/metrics").await, said("200", "hello"));
    let post = get_and_close("/healthz").replace("GET", "POST");
    let answer = exchange(server.address, &post).await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(answer.contains("\r\nallow: GET, HEAD\r\n"), "{answer}");
}

#[tokio::test]
async fn the_admin_listener_shows_store_and_upstreams() {
    let server = start(|builder| builder.admin(ANY).readiness(readiness)).await;
    let expected = concat!(
        r#"{"status":"ready","reasons":[],"#,
        r#""store":{"degraded":true,"used_bytes":5,"limit_bytes":9},"#,
        r#""upstreams":[{"name":"quay.io","healthy":true,"credential_refused":false,"#,
        r#""offline":true,"quota_remaining":null,"quota_limit":null,"reason":null},"#,
        r#"{"name":"docker.io","healthy":false,"credential_refused":true,"offline":false,"#,
        r#""quota_remaining":3,"quota_limit":100,"reason":"denied: \\u{1b}[2J"}]}"#,
    );
    let admin = server.admin.unwrap();
    assert_eq!(ask(admin, "/readyz").await, said("200", expected));
    let (status, _) = ask(admin, "/v1").await;
    assert_eq!(status, "404");
}

#[tokio::test]
async fn a_cache_with_a_reason_is_not_ready() {
    let report = || Readiness::new().with_reason("the store is being checked");
    let server = start(|builder| builder.admin(ANY).readiness(report)).await;
    let (status, body) = ask(server.admin.unwrap(), "/readyz").await;
    assert_eq!(status, "503");
    let start = r#"{"status":"not ready","reasons":["the store is being checked"],"#;
    assert!(body.starts_with(start), "{body}");
    let not_ready = said("503", r#"{"status":"not ready"}"#);
    assert_eq!(ask(server.address, "/readyz").await, not_ready);
}

#[tokio::test]
async fn metrics_are_shown_on_the_admin_listener() {
    let metrics = Metrics::new();
    let counting = metrics.clone();
    let server = start(move |builder| {
        builder
            .admin(ANY)
            .observer(counting.clone())
            .metrics(counting)
    })
    .await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(get("/").as_bytes()).await.unwrap();
    read_until(&mut stream, "hello").await;
    let answer = exchange(server.admin.unwrap(), &get_and_close("/metrics")).await;
    let kind = format!("\r\ncontent-type: {METRICS_CONTENT_TYPE}\r\n");
    assert!(answer.contains(&kind), "{answer}");
    // The connection of the admin listener does not count.
    assert!(
        answer.contains("\nlongshore_cache_connections 1\n"),
        "{answer}"
    );
    assert!(answer.ends_with("# EOF\n"), "{answer}");
}
