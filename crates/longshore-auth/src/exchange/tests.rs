use http::Response;
use longshore_origin::{AddressClass, Secret};

use super::*;
use crate::key::TokenSource;
use crate::{CredentialError, Realm, ScopeSet};

// RE6
#[test]
fn re6_the_realms_query_is_kept_and_ours_is_encoded() {
    let scope = "repository:a/b:pull,push";
    let encoded = "scope=repository%3Aa%2Fb%3Apull%2Cpush";
    asks(
        "https://a.example/t",
        "r",
        scope,
        &format!("/t?service=r&{encoded}"),
    );
    asks(
        "https://a.example/t?x=y%20z",
        "r",
        scope,
        &format!("/t?x=y%20z&service=r&{encoded}"),
    );
    asks("https://a.example/t?", "r", "", "/t?service=r");
    asks("https://a.example/t?x&", "r", "", "/t?x&service=r");
    asks("https://a.example", "", "", "/");
    asks("https://a.example/t", "", scope, &format!("/t?{encoded}"));
    asks(
        "https://a.example/t",
        "SUSE Linux & Docker#\u{e4}",
        "",
        "/t?service=SUSE%20Linux%20%26%20Docker%23%C3%A4",
    );
    // One parameter for each item.
    asks(
        "https://a.example/t",
        "",
        "repository:a:pull  repository:b:push aws",
        "/t?scope=repository%3Aa%3Apull&scope=repository%3Ab%3Apush&scope=aws",
    );
}

fn asks(realm: &str, service: &str, scope: &str, expected: &str) {
    let exchange =
        TokenExchange::new(key(realm, service, scope, None), RequestOptions::default()).unwrap();
    let request = exchange.request();
    assert_eq!(request.method(), Method::GET);
    assert_eq!(request.uri().path_and_query().unwrap(), expected);
    assert_eq!(request.headers().get(AUTHORIZATION), None);
    assert_eq!(request.headers()[ACCEPT], "application/json");
    assert!(request.body().is_empty());
}

#[test]
fn a_password_goes_into_one_basic_header() {
    let request = exchange(basic_account()).request();
    let values: Vec<_> = request.headers().get_all(AUTHORIZATION).iter().collect();
    assert_eq!(values, ["Basic bWU6aHVudGVyMg=="]);
    assert!(values[0].is_sensitive());
    assert!(!request.uri().to_string().contains("hunter2"));
}

const POST_SCOPE: &str = "&client_id=longshore&service=r\
     &scope=repository%3Aa%3Apull%20repository%3Ab%3Apull";
const GET_SCOPE: &str = "&scope=repository%3Aa%3Apull&scope=repository%3Ab%3Apull";

#[test]
fn each_credential_has_its_way_of_asking() {
    let identity = || Some(Credential::IdentityToken(Secret::new("refresh me+".into())));
    let offline = RequestOptions {
        offline: true,
        get_only: false,
    };
    let get_only = |offline| RequestOptions {
        offline,
        get_only: true,
    };
    let me = Some("Basic bWU6aHVudGVyMg==");
    // `<token>:refresh me+`
    let token = Some("Basic PHRva2VuPjpyZWZyZXNoIG1lKw==");
    let get = format!("GET /t?service=r{GET_SCOPE}");
    let get_offline = format!("GET /t?service=r&offline_token=true&client_id=longshore{GET_SCOPE}");
    let refresh = "POST /t grant_type=refresh_token&refresh_token=refresh%20me%2B";
    let password = "POST /t grant_type=password&username=me&password=hunter2";
    asks_as(basic_account(), RequestOptions::default(), me, &get);
    asks_as(basic_account(), get_only(false), me, &get);
    asks_as(basic_account(), get_only(true), me, &get_offline);
    let form = format!("{password}{POST_SCOPE}&access_type=offline");
    asks_as(basic_account(), offline, None, &form);
    asks_as(
        identity(),
        RequestOptions::default(),
        None,
        &format!("{refresh}{POST_SCOPE}"),
    );
    let form = format!("{refresh}{POST_SCOPE}&access_type=offline");
    asks_as(identity(), offline, None, &form);
    asks_as(identity(), get_only(false), token, &get);
    asks_as(identity(), get_only(true), token, &get_offline);
    // Nobody in particular has nothing to refresh.
    asks_as(None, offline, None, &get);
}

#[track_caller]
fn asks_as(
    account: Option<Credential>,
    options: RequestOptions,
    authorization: Option<&str>,
    expected: &str,
) {
    let key = key("https://a.example/t", "r", SCOPES, account);
    let exchange = TokenExchange::new(key, options).unwrap();
    let request = exchange.request();
    let shown = request.headers().get(AUTHORIZATION);
    assert!(shown.is_none_or(HeaderValue::is_sensitive));
    assert_eq!(shown.map(|value| value.to_str().unwrap()), authorization);
    let kind = request.headers().get(CONTENT_TYPE);
    let is_post = *request.method() == Method::POST;
    assert_eq!(kind.is_some_and(|kind| kind == FORM), is_post);
    let path = request.uri().path_and_query().unwrap();
    let line = format!("{} {path}", request.method());
    let body = std::str::from_utf8(request.body()).unwrap();
    assert_eq!([&line, body].join(" ").trim_end(), expected);
    let shown = format!("{exchange:?}");
    assert!(!shown.contains("refresh me") && !shown.contains("hunter2"));
}

#[test]
fn a_form_without_service_and_scope_has_no_empty_pairs() {
    let account = Some(Credential::IdentityToken(Secret::new("t".into())));
    let key = key("https://a.example/t", "", "", account);
    let exchange = TokenExchange::new(key, RequestOptions::default()).unwrap();
    let expected = "grant_type=refresh_token&refresh_token=t&client_id=longshore";
    assert_eq!(exchange.request().body(), expected);
}

// OU3
#[test]
fn ou3_a_request_holds_no_copy_of_what_the_exchange_wipes() {
    let identity = Some(Credential::IdentityToken(Secret::new("t".repeat(9_000))));
    let form = exchange(identity);
    let (one, two) = (form.request(), form.request());
    assert_eq!(one.body().as_ptr(), two.body().as_ptr());
    let header = exchange(basic_account());
    let at = |request: Request<Bytes>| request.headers()[AUTHORIZATION].as_bytes().as_ptr();
    assert_eq!(at(header.request()), at(header.request()));
}

// CR7
#[test]
fn cr7_a_refused_post_is_told_from_other_failures() {
    let identity = || Some(Credential::IdentityToken(Secret::new("t".into())));
    let offline = RequestOptions {
        offline: true,
        get_only: false,
    };
    for (status, of_password, of_token) in [
        (400, true, false),
        (404, true, true),
        (405, true, true),
        (415, false, false),
        (500, false, false),
    ] {
        let code = StatusCode::from_u16(status).unwrap();
        for (account, options, expected) in [
            (basic_account(), offline, of_password),
            (identity(), RequestOptions::default(), of_token),
            // A GET is not a POST.
            (basic_account(), RequestOptions::default(), false),
            (None, RequestOptions::default(), false),
        ] {
            // This says that the refresh token is not valid.
            if status == 400 && matches!(account, Some(Credential::IdentityToken(_))) {
                continue;
            }
            let key = key("https://a.example/t", "r", "", account);
            let mut exchange = TokenExchange::new(key, options).unwrap();
            let error = match on_head(&mut exchange, status, &[]) {
                Ok(_) => on_body(&mut exchange, b"").unwrap_err(),
                Err(error) => error,
            };
            let error = source(error);
            let refused = ExchangeError::PostRefused { status: code };
            let failed = ExchangeError::Status {
                status: code,
                said: None,
            };
            assert_eq!(error, if expected { refused } else { failed });
        }
    }
}

// CR7: RFC 6749 §5.2. Everything else that a 400 says is about the POST.
#[test]
fn cr7_a_password_that_is_not_valid_is_not_shown_again() {
    let options = RequestOptions {
        offline: true,
        get_only: false,
    };
    for (body, is_final) in [
        (r#"{"error":"invalid_grant"}"#, true),
        (
            r#"{"error_description":"no","error":"invalid\u005fgrant"}"#,
            true,
        ),
        (r#"{"error":"unsupported_grant_type"}"#, false),
        (r#"{"error":["invalid_grant"]}"#, false),
        // An array of the members is not the object that RFC 6749 §5.2 describes.
        (r#"["invalid_grant"]"#, false),
        (r#"{"errors":[{"code":"UNSUPPORTED"}]}"#, false),
        ("invalid_grant", false),
        ("", false),
    ] {
        let key = key("https://a.example/t", "r", "", basic_account());
        let mut exchange = TokenExchange::new(key, options).unwrap();
        let step = on_head(&mut exchange, 400, &[]).unwrap();
        assert_eq!(step, "Collect");
        let error = on_body(&mut exchange, body.as_bytes()).unwrap_err();
        match error {
            AuthError::CredentialsRefused { .. } => assert!(is_final, "{body}"),
            error => {
                let status = StatusCode::BAD_REQUEST;
                assert_eq!(source(error), ExchangeError::PostRefused { status });
                assert!(!is_final, "{body}");
            }
        }
    }
}

// CR7: RFC 6749 §5.2.
#[test]
fn cr7_a_refresh_token_that_is_not_valid_is_refused_with_400() {
    let options = RequestOptions {
        offline: true,
        get_only: false,
    };
    let account = Some(Credential::IdentityToken(Secret::new("old".into())));
    let key = key("https://a.example/t", "r", "", account);
    let mut exchange = TokenExchange::new(key, options).unwrap();
    assert_eq!(on_head(&mut exchange, 400, &[]).unwrap(), "Collect");
    let error = on_body(&mut exchange, br#"{"error":"invalid_grant"}"#).unwrap_err();
    assert!(
        matches!(&error, AuthError::CredentialsRefused { said: Some(said), .. }
            if said.to_string() == "invalid_grant"),
        "{error:?}"
    );
}

// CR9
#[test]
fn cr9_no_form_is_made_of_what_no_header_could_hold() {
    let username = "a:b".to_owned();
    let password = Secret::new("x".into());
    let account = Some(Credential::Basic { username, password });
    let key = key("https://a.example/t", "r", "", account);
    let offline = RequestOptions {
        offline: true,
        get_only: false,
    };
    let error = TokenExchange::new(key, offline).unwrap_err();
    assert!(matches!(
        error,
        AuthError::Credential {
            source: CredentialError::Colon,
            ..
        }
    ));
}

// RE3
#[test]
fn re3_the_request_carries_the_reach_of_its_realm() {
    let key = key("https://a.example/t", "r", "", None);
    let addresses = AddressPolicy::AtLeast {
        class: AddressClass::Public,
        allow: Default::default(),
    };
    let exchange = TokenExchange::new(key, RequestOptions::default()).unwrap();
    assert_eq!(exchange.policy(), &addresses);
    assert_eq!(exchange.request().extensions().get(), Some(&addresses));
}

// RE6
#[test]
fn re6_two_redirects_within_the_origin_are_followed() {
    for status in [301, 302, 303, 307, 308] {
        let mut exchange = exchange(basic_account());
        redirect(&mut exchange, status, "/other?x=1").unwrap();
        let request = exchange.request();
        assert_eq!(request.uri(), "https://a.example/other?x=1");
        assert_eq!(request.headers()[AUTHORIZATION], "Basic bWU6aHVudGVyMg==");
        redirect(&mut exchange, status, "https://A.example:443/third").unwrap();
        assert_eq!(exchange.request().uri(), "https://a.example/third");
        let error = redirect(&mut exchange, status, "/fourth").unwrap_err();
        assert_eq!(error, ExchangeError::TooManyRedirects);
    }
}

// RE6
#[test]
fn re6_no_redirect_leads_to_another_origin() {
    for (location, to) in [
        ("https://evil.example/t", "https://evil.example"),
        ("//evil.example/t", "https://evil.example"),
        ("https://a.example:8443/t", "https://a.example:8443"),
    ] {
        let error = redirect(&mut exchange(None), 307, location).unwrap_err();
        let to = to.parse().unwrap();
        assert_eq!(error, ExchangeError::OtherOrigin { to }, "{location}");
    }
    let error = redirect(&mut exchange(None), 307, "http://evil.example/t").unwrap_err();
    assert!(matches!(
        error,
        ExchangeError::Location(HopError::Downgrade { .. })
    ));
    let error = redirect(&mut exchange(None), 307, "https://me@a.example/").unwrap_err();
    assert!(matches!(
        error,
        ExchangeError::Location(HopError::Resolve(_))
    ));
    let error = on_head(&mut exchange(None), 307, &[]).unwrap_err();
    assert_eq!(source(error), ExchangeError::NoLocation);
}

// RE6
#[test]
fn re6_a_form_is_not_sent_twice() {
    let account = Credential::IdentityToken(Secret::new("t".into()));
    let error = redirect(&mut exchange(Some(account)), 307, "/other").unwrap_err();
    assert_eq!(error, ExchangeError::TooManyRedirects);
}

fn redirect(
    exchange: &mut TokenExchange,
    status: u16,
    location: &str,
) -> Result<(), ExchangeError> {
    let step = on_head(exchange, status, &[("location", location)]);
    assert_eq!(step.map_err(source)?, "Send");
    Ok(())
}

// CR7
#[test]
fn cr7_a_refusal_of_the_token_endpoint_says_who_refused_what() {
    for status in [401, 403] {
        for (body, said) in [
            ("", ""),
            (r#"{"details":"no \u001b[2J"}"#, r" (it says: no \u{1b}[2J)"),
        ] {
            let refused = |mut exchange| {
                assert_eq!(on_head(&mut exchange, status, &[]).unwrap(), "Collect");
                on_body(&mut exchange, body.as_bytes())
                    .unwrap_err()
                    .to_string()
            };
            let required = "https://r.example requires credentials, and there are none for it";
            assert_eq!(refused(exchange(None)), format!("{required}{said}"));
            let wrong = "https://a.example does not accept the credentials for https://r.example";
            assert_eq!(refused(exchange(basic_account())), format!("{wrong}{said}"));
        }
    }
}

// OU3: some servers repeat what they were sent.
#[test]
fn ou3_the_text_of_a_token_server_shows_no_secret_of_the_request() {
    for body in ["wrong password: hunter2", "not known: bWU6aHVudGVyMg=="] {
        let mut exchange = exchange(basic_account());
        on_head(&mut exchange, 401, &[]).unwrap();
        let error = on_body(&mut exchange, body.as_bytes()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "https://a.example does not accept the credentials for https://r.example"
        );
    }
}

#[test]
fn other_statuses_are_no_token() {
    for status in [100, 204_u16, 304, 400, 404, 429, 500, 503] {
        let mut exchange = exchange(None);
        let result = on_head(&mut exchange, status, &[]);
        if status == 204 {
            // Success; what is missing is noticed in the body.
            assert_eq!(result.unwrap(), "Collect");
            continue;
        }
        assert_eq!(result.unwrap(), "Collect");
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(
            source(on_body(&mut exchange, b"<html>").unwrap_err()),
            ExchangeError::Status { status, said: None }
        );
    }
    // A retry sends the same request.
    let mut exchange = exchange(None).with_retries(2, |_, _, _| Some(Duration::ZERO));
    let before = exchange.request().uri().clone();
    assert_eq!(on_head(&mut exchange, 503, &[]).unwrap(), "Wait");
    let action = exchange.on(ExchangeEvent::Waited, Duration::ZERO, 0);
    assert_eq!(outcome(action).unwrap(), "Send");
    assert_eq!(exchange.request().uri(), &before);
    assert_eq!(on_head(&mut exchange, 200, &[]).unwrap(), "Collect");
}

// LI1
#[test]
fn li1_a_body_announced_too_long_is_not_read() {
    for (length, expected) in [
        ("262144", Ok("Collect")),
        ("262145", Err(ExchangeError::Response(TokenError::TooLong))),
        ("nonsense", Ok("Collect")),
    ] {
        let step = on_head(&mut exchange(None), 200, &[("content-length", length)]);
        assert_eq!(step.map_err(source), expected, "{length}");
    }
}

#[test]
fn the_body_becomes_a_token_or_an_error() {
    let read = |body: &[u8]| {
        let mut exchange = exchange(None);
        on_head(&mut exchange, 200, &[]).unwrap();
        on_body(&mut exchange, body)
    };
    let issued = read(br#"{"token":"t","expires_in":300}"#).unwrap();
    assert_eq!(issued.token.expose(), "t");
    let error = read(b"<html>").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the token endpoint https://a.example issued no token"
    );
    assert_eq!(
        source(error),
        ExchangeError::Response(TokenError::NotAnObject)
    );
}

/// Reports an answer to the request that the exchange sends, and names the next action.
fn on_head(
    exchange: &mut TokenExchange,
    status: u16,
    headers: &[(&str, &str)],
) -> Result<&'static str, AuthError> {
    if matches!(exchange.state, State::Ready) {
        assert_eq!(outcome(exchange.start(Duration::ZERO))?, "Send");
    }
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    let (head, ()) = response.body(()).unwrap().into_parts();
    let event = ExchangeEvent::Head(&head, Peer::default());
    outcome(exchange.on(event, Duration::ZERO, 0))
}

fn on_body(exchange: &mut TokenExchange, body: &[u8]) -> Result<Issued, AuthError> {
    match exchange.on(ExchangeEvent::Body(body), Duration::ZERO, 0) {
        ExchangeAction::Finish(issued) => issued,
        action => panic!("{action:?}"),
    }
}

fn outcome(action: ExchangeAction) -> Result<&'static str, AuthError> {
    match action {
        ExchangeAction::Collect { .. } => Ok("Collect"),
        ExchangeAction::Finish(Err(error)) => Err(error),
        ExchangeAction::Finish(Ok(_)) => Ok("Finish"),
        ExchangeAction::Send => Ok("Send"),
        ExchangeAction::Wait(_) => Ok("Wait"),
    }
}

fn source(error: AuthError) -> ExchangeError {
    match error {
        AuthError::Exchange { source, .. } => source,
        other => panic!("{other:?}"),
    }
}

fn exchange(account: Option<Credential>) -> TokenExchange {
    let key = key("https://a.example/t", "r", SCOPES, account);
    TokenExchange::new(key, RequestOptions::default()).unwrap()
}

const SCOPES: &str = "repository:a:pull repository:b:pull";

fn basic_account() -> Option<Credential> {
    Some(Credential::basic("me", Secret::new("hunter2".into())).unwrap())
}

fn key(realm: &str, service: &str, scope: &str, account: Option<Credential>) -> TokenKey {
    let registry: Origin = "https://r.example".parse().unwrap();
    let realm = Realm::parse(realm.as_bytes()).unwrap();
    let plain = TokenKey::new(
        registry.clone(),
        realm,
        service,
        &ScopeSet::empty(),
        account,
    );
    let source = TokenSource {
        scope: scope.to_owned(),
        ..plain.source().clone()
    };
    let account = plain.account().cloned();
    TokenKey::with_source(registry, service, String::new(), account, source)
}

mod machine;
