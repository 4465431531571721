use super::*;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn watch() -> Arc<Watch> {
    Watch::new(Limits::default().with_connections(1), at(0))
}

#[test]
fn ca10_a_connection_without_a_request_is_idle_for_60_seconds() {
    let watch = watch();
    assert_eq!(watch.look(at(1)), Verdict::Until(at(60)));
    assert_eq!(watch.look(at(59)), Verdict::Until(at(60)));
    assert_eq!(watch.look(at(60)), Verdict::Cut(Overdue::Idle));
}

#[test]
fn ca10_the_time_of_a_head_begins_with_its_first_byte() {
    let watch = watch();
    assert_eq!(watch.look(at(20)), Verdict::Until(at(60)));
    watch.received(b"GET ");
    assert_eq!(watch.look(at(21)), Verdict::Until(at(31)));
    watch.received(b"/");
    assert_eq!(watch.look(at(30)), Verdict::Until(at(31)));
    assert_eq!(watch.look(at(31)), Verdict::Cut(Overdue::Head));
}

#[test]
fn ca10_an_answered_request_begins_a_new_idle_time() {
    let watch = watch();
    watch.received(b"GET / HTTP/1.1\r\n\r\n");
    let active = watch.request();
    assert_eq!(watch.look(at(1)), Verdict::Until(at(61)));
    // An upstream may take long.
    assert_eq!(watch.look(at(3000)), Verdict::Until(at(3060)));
    drop(active);
    watch.wrote(false);
    assert_eq!(watch.look(at(3001)), Verdict::Until(at(3061)));
    assert_eq!(watch.look(at(3061)), Verdict::Cut(Overdue::Idle));
}

#[test]
fn ca10_frames_without_a_request_do_not_keep_an_http2_connection_open() {
    let watch = watch();
    let (first, second) = PREFACE.split_at(5);
    watch.received(first);
    assert_eq!(watch.look(at(1)), Verdict::Until(at(11)));
    watch.received(second);
    assert_eq!(watch.look(at(2)), Verdict::Until(at(60)));
    watch.received(b"a frame");
    assert_eq!(watch.look(at(59)), Verdict::Until(at(60)));
    assert_eq!(watch.look(at(60)), Verdict::Cut(Overdue::Idle));
}

#[test]
fn ca10_a_client_that_reads_nothing_is_cut() {
    let watch = watch();
    let mut active = watch.request();
    active.gave(true);
    watch.wrote(true);
    assert_eq!(watch.look(at(1)), Verdict::Until(at(61)));
    assert_eq!(watch.look(at(250)), Verdict::Until(at(301)));
    // It reads a little.
    watch.wrote(false);
    watch.wrote(true);
    assert_eq!(watch.look(at(300)), Verdict::Until(at(360)));
    assert_eq!(watch.look(at(600)), Verdict::Cut(Overdue::Stalled));
    // Also if the whole body was handed over.
    drop(active);
    assert_eq!(watch.look(at(600)), Verdict::Cut(Overdue::Stalled));
    watch.wrote(false);
    assert_eq!(watch.look(at(700)), Verdict::Until(at(760)));
}

#[test]
fn ca10_an_http2_stream_that_is_not_read_is_cut_though_the_socket_is_writable() {
    let watch = watch();
    watch.received(PREFACE);
    let mut active = watch.request();
    active.gave(true);
    assert_eq!(watch.look(at(10)), Verdict::Until(at(70)));
    assert_eq!(watch.look(at(310)), Verdict::Cut(Overdue::Stalled));
    // Asked for more, the body waits for its source: the client is not to blame.
    active.gave(false);
    assert_eq!(watch.look(at(310)), Verdict::Until(at(370)));
}
