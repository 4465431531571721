use super::*;

#[test]
fn a_status_line_is_read_strictly() {
    for (head, expected) in [
        ("HTTP/1.1 200 Connection established\r\n\r\n", Some(200)),
        ("HTTP/1.0 204 \r\n\r\n", Some(204)),
        ("HTTP/1.1 407\r\n\r\n", Some(407)),
        ("HTTP/1.1 407\n\n", Some(407)),
        ("HTTP/2 200 OK\r\n\r\n", None),
        ("HTTP/1.1 20\r\n\r\n", None),
        ("HTTP/1.1 2000 x\r\n\r\n", None),
        ("HTTP/1.1 +20 x\r\n\r\n", None),
        ("HTTP/1.x 200 x\r\n\r\n", None),
        ("SSH-2.0-OpenSSH\r\n\n", None),
        ("", None),
    ] {
        assert_eq!(read_status(head.as_bytes()), expected, "{head:?}");
    }
}

#[test]
fn a_proxy_url_must_name_a_proxy() {
    for url in [
        "http://proxy.example:3128",
        "proxy.example:3128",
        "https://u:p@proxy.example",
        "socks5://proxy.example",
        "socks5h://u:p@proxy.example:1080",
        " \"http://proxy.example:3128\" ",
    ] {
        assert!(ProxySettings::url(url, "").is_ok(), "{url}");
    }
    for url in [
        "",
        "socks4://proxy.example",
        "socks5://",
        "ftp://proxy.example",
        "http://",
        "http://a b",
    ] {
        assert!(
            matches!(ProxySettings::url(url, ""), Err(SettingsError::ProxyUrl)),
            "{url}"
        );
    }
}

// CR10, OU3
#[test]
fn ou3_debug_does_not_show_the_password_of_a_proxy() {
    let proxy = ProxySettings::url("http://user:hunter2@proxy.example:3128", "").unwrap();
    assert!(!format!("{proxy:?}").contains("hunter2"));
}

fn origin(text: &str) -> Origin {
    text.parse().unwrap()
}

#[track_caller]
fn check(settings: &ProxySettings, uri: &str, expected: Option<&str>) {
    let found = settings.intercept(&origin(uri));
    assert_eq!(found.map(|proxy| &*proxy.name), expected, "{uri}");
}

#[test]
fn excepted_hosts_are_contacted_directly() {
    let proxy = ProxySettings::url("http://p:1", "example.org,10.0.0.0/8").unwrap();
    check(&proxy, "https://registry.example", Some("http://p:1"));
    check(&proxy, "https://sub.example.org", None);
    check(&proxy, "https://10.1.2.3", None);
    let proxy = ProxySettings::url("http://p:1", "example.org, *").unwrap();
    for uri in ["https://registry.example", "http://1.2.3.4:5000"] {
        check(&proxy, uri, None);
    }
}

// RT12
#[test]
fn rt12_no_proxy_is_used_for_this_machine() {
    for url in ["http://p:1", "socks5h://p:1"] {
        let proxy = ProxySettings::url(url, "").unwrap();
        for host in [
            "localhost",
            "LOCALHOST:5000",
            "a.localhost",
            "127.0.0.1",
            "127.9.9.9:1",
        ] {
            check(&proxy, &format!("http://{host}"), None);
            check(&proxy, &format!("https://{host}"), None);
        }
        check(&proxy, "https://[::1]:5000", None);
        check(&proxy, "https://[::ffff:127.0.0.1]", None);
        check(&proxy, "https://localhost.example", Some(url));
        check(&proxy, "https://128.0.0.1", Some(url));
    }
}

#[track_caller]
fn from(variables: &[(&str, &str)]) -> Result<ProxySettings, SettingsError> {
    ProxySettings::from_variables(|name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn the_variables_are_read_as_go_and_curl_read_them() {
    for (variables, http, https) in [
        (&[][..], None, None),
        (&[("HTTP_PROXY", "http://a:1")], Some("http://a:1"), None),
        (&[("https_proxy", "a:1")], None, Some("http://a:1")),
        (
            &[("HTTPS_PROXY", "http://a:1"), ("https_proxy", "b:1")],
            None,
            Some("http://a:1"),
        ),
        (
            &[("HTTPS_PROXY", " "), ("https_proxy", "b:1")],
            None,
            Some("http://b:1"),
        ),
        (
            &[("ALL_PROXY", "a:1")],
            Some("http://a:1"),
            Some("http://a:1"),
        ),
        (
            &[("all_proxy", "a:1"), ("HTTP_PROXY", "b:1")],
            Some("http://b:1"),
            Some("http://a:1"),
        ),
        (
            &[("HTTPS_PROXY", " 'https://u:p@a' ")],
            None,
            Some("https://a"),
        ),
        (
            &[("HTTPS_PROXY", "\"socks5://u:p@a\"")],
            None,
            Some("socks5://a:1080"),
        ),
        (
            &[
                ("ALL_PROXY", "socks5h://a:1"),
                ("NO_PROXY", "\" r.example \""),
            ],
            None,
            None,
        ),
        (
            &[("ALL_PROXY", "a:1"), ("no_proxy", "r.example")],
            None,
            None,
        ),
        (
            &[
                ("ALL_PROXY", "a:1"),
                ("NO_PROXY", ""),
                ("no_proxy", "r.example"),
            ],
            None,
            None,
        ),
        (
            &[("HTTP_PROXY", "a:1"), ("REQUEST_METHOD", "GET")],
            None,
            None,
        ),
    ] {
        let settings = from(variables).unwrap();
        check(&settings, "http://r.example", http);
        check(&settings, "https://r.example", https);
    }
}

#[test]
fn the_error_names_the_variable_that_is_not_a_proxy_url() {
    for (variable, value) in [
        ("HTTPS_PROXY", "http://user:hunter2@"),
        ("http_proxy", "socks4://hunter2"),
        ("ALL_PROXY", "http://hunter2 b"),
    ] {
        let error = from(&[(variable, value)]).unwrap_err().to_string();
        assert!(
            error.contains(variable) && !error.contains("hunter2"),
            "{error}"
        );
    }
}

#[test]
fn a_login_is_decoded_and_goes_into_the_form_of_its_protocol() {
    let proxy = Proxy::read("http://us%40er:p%3Ass@p:1", None).unwrap();
    let basic = proxy.authorization.unwrap();
    assert_eq!(basic.to_str().unwrap(), "Basic dXNAZXI6cDpzcw==");
    assert!(proxy.login.is_none());
    let proxy = Proxy::read("socks5://us%40er:p%3Ass@p", None).unwrap();
    let (user, password) = proxy.login.unwrap();
    assert_eq!((user.as_str(), password.expose()), ("us@er", "p:ss"));
    assert_eq!((proxy.authorization, proxy.origin.port()), (None, 1080));
}

#[test]
fn a_web_page_is_known_by_its_type() {
    for (head, expected) in [
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Type: text/html; charset=utf-8\r\n\r\n",
            true,
        ),
        (
            "HTTP/1.1 403 Forbidden\r\ncontent-type:TEXT/HTML\r\n\r\n",
            true,
        ),
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\n\r\n",
            false,
        ),
        ("HTTP/1.1 403 text/html\r\n\r\n", false),
    ] {
        assert_eq!(is_page(head.as_bytes()), expected, "{head:?}");
    }
}
