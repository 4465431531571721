use std::io;

use tracing_subscriber::fmt::MakeWriter;

use super::*;

/// Collects the lines of the log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn ou4_each_request_has_one_line_without_secrets() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(lines.clone())
        .finish();
    // Not `set_default`: with one subscriber of one thread, a line that another thread reaches
    // first is switched off for all threads.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    tracing::callsite::rebuild_interest_cache();
    let mut server = start(|builder| builder.admin(ANY)).await;
    // Probes have no line.
    exchange(server.address, &get_and_close("/healthz?n=7")).await;
    server.event("Connections(0)").await;
    exchange(server.admin.unwrap(), &get_and_close("/metrics?n=7")).await;
    let request = "GET /a%0ab?ns=quay.io&token=hunter2 HTTP/1.1\r\nhost: cache\r\n\
                   x-request-id: trace-7\r\nauthorization: Basic aHVudGVyMg==\r\n\
                   connection: close\r\n\r\n";
    let answer = exchange(server.address, request).await;
    assert!(answer.contains("\r\nx-request-id: trace-7\r\n"), "{answer}");
    server.event("Connections(0)").await;
    exchange(
        server.address,
        &get_and_close("/?n=7").replace("GET", "HEAD"),
    )
    .await;
    server.event("Connections(0)").await;
    let held = server.toy.hold();
    let mut stream = server.connect().await;
    let request = get("/held").replace("/held", "/held?n=7");
    stream.write_all(request.as_bytes()).await.unwrap();
    held.send(Bytes::from_static(b"abc")).unwrap();
    read_until(&mut stream, "abc\r\n").await;
    drop(stream);
    server.event("Connections(0)").await;

    let text = lines.text();
    let access: Vec<_> = text
        .lines()
        .filter(|line| line.contains("longshore_cache::access"))
        // Other tests also write lines.
        .filter(|line| line.contains("n=7 ") || line.contains("/a%0ab"))
        .collect();
    let [line, head, left] = access.as_slice() else {
        panic!("not three lines:\n{text}");
    };
    let sent = " status=200 bytes=0 complete=true ";
    assert!(
        head.contains(" method=HEAD ") && head.contains(sent),
        "{head}"
    );
    assert!(
        left.contains(" status=200 bytes=3 complete=false "),
        "{left}"
    );
    for part in [
        r#" id="trace-7" "#,
        " client=127.0.0.1:",
        " method=GET ",
        " uri=/a%0ab?ns=quay.io&token=REDACTED ",
        " status=200 ",
        " bytes=5 ",
        " complete=true ",
        " milliseconds=",
        r#" kind="blob" "#,
        r#" outcome="hit" "#,
        r#" upstream="quay.io""#,
    ] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    assert!(
        !text.contains("hunter2") && !text.contains("aHVudGVyMg"),
        "{text}"
    );
}

#[tokio::test]
async fn an_answer_has_an_id_of_its_own_if_the_client_sent_none() {
    let server = start(|builder| builder).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let answer = exchange(server.address, &get_and_close("/")).await;
        let (_, rest) = answer.split_once("\r\nx-request-id: ").unwrap();
        let (id, _) = rest.split_once("\r\n").unwrap();
        assert_eq!(id.len(), 16, "{id}");
        assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        ids.push(id.to_owned());
    }
    assert_ne!(ids[0], ids[1]);
}
