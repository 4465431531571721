use http::Response;
use longshore_origin::AddressClass;

use super::*;
use crate::cache::TokenRequest;
use crate::{Realm, ScopeSet};

// RE6
#[test]
fn re6_f15_the_realms_query_is_kept_and_ours_is_encoded() {
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
    let exchange = TokenExchange::new(key(realm, service, scope, None)).unwrap();
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

#[test]
fn f16_an_identity_token_goes_into_a_form() {
    let account = Credential::IdentityToken(Secret::new("refresh me+".into()));
    let exchange = exchange(Some(account));
    let request = exchange.request();
    assert_eq!(request.method(), Method::POST);
    assert_eq!(request.uri(), "https://a.example/t");
    assert_eq!(
        request.headers()[CONTENT_TYPE],
        "application/x-www-form-urlencoded"
    );
    assert_eq!(request.headers().get(AUTHORIZATION), None);
    assert_eq!(
        request.body(),
        "grant_type=refresh_token&client_id=longshore&service=r\
         &scope=repository%3Aa%3Apull%20repository%3Ab%3Apull&refresh_token=refresh%20me%2B"
    );
    assert!(!format!("{exchange:?}").contains("refresh me"));
}

// RE3
#[test]
fn re3_the_request_carries_the_reach_of_its_realm() {
    let key = key("https://a.example/t", "r", "", None);
    let reach = AddressPolicy::AtLeast {
        class: AddressClass::Public,
        allow: Default::default(),
    };
    let exchange = TokenExchange::new(key).unwrap();
    assert_eq!(exchange.policy(), &reach);
    assert_eq!(exchange.request().extensions().get(), Some(&reach));
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
    assert_eq!(step.map_err(source)?, ExchangeStep::Send);
    Ok(())
}

// CR7
#[test]
fn cr7_a_refusal_of_the_token_endpoint_says_who_refused_what() {
    for status in [401, 403] {
        let error = on_head(&mut exchange(None), status, &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "https://r.example gives no access without credentials, and there are none for it"
        );
        let error = on_head(&mut exchange(basic_account()), status, &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "https://a.example does not accept the credentials for https://r.example"
        );
    }
}

#[test]
fn other_statuses_are_no_token() {
    for status in [100, 204_u16, 304, 400, 404, 429, 500, 503] {
        let result = on_head(&mut exchange(None), status, &[]);
        if status == 204 {
            // Success; what is missing is noticed in the body.
            assert!(matches!(result, Ok(ExchangeStep::Collect { .. })));
            continue;
        }
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(
            source(result.unwrap_err()),
            ExchangeError::Status { status }
        );
    }
    // The request can be sent again after a passing failure.
    let mut exchange = exchange(None);
    let before = exchange.request().uri().clone();
    on_head(&mut exchange, 503, &[]).unwrap_err();
    assert_eq!(exchange.request().uri(), &before);
    on_head(&mut exchange, 200, &[]).unwrap();
}

// LI1
#[test]
fn li1_a_body_announced_too_long_is_not_read() {
    let limit = TOKEN_RESPONSE_LIMIT_BYTES;
    for (length, expected) in [
        ("262144", Ok(ExchangeStep::Collect { limit })),
        ("262145", Err(ExchangeError::Response(TokenError::TooLong))),
        ("nonsense", Ok(ExchangeStep::Collect { limit })),
    ] {
        let step = on_head(&mut exchange(None), 200, &[("content-length", length)]);
        assert_eq!(step.map_err(source), expected, "{length}");
    }
}

#[test]
fn the_body_becomes_a_token_or_an_error() {
    let exchange = exchange(None);
    let issued = exchange
        .on_body(br#"{"token":"t","expires_in":300}"#)
        .unwrap();
    assert_eq!(issued.token.expose(), "t");
    let error = exchange.on_body(b"<html>").unwrap_err();
    assert_eq!(error.to_string(), "https://a.example issues no token");
    assert_eq!(
        source(error),
        ExchangeError::Response(TokenError::NotAnObject)
    );
}

fn on_head(
    exchange: &mut TokenExchange,
    status: u16,
    headers: &[(&str, &str)],
) -> Result<ExchangeStep, AuthError> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    let (head, ()) = response.body(()).unwrap().into_parts();
    exchange.on_head(&head, Peer::default())
}

fn source(error: AuthError) -> ExchangeError {
    match error {
        AuthError::Exchange { source, .. } => source,
        other => panic!("{other:?}"),
    }
}

fn exchange(account: Option<Credential>) -> TokenExchange {
    let scope = "repository:a:pull repository:b:pull";
    TokenExchange::new(key("https://a.example/t", "r", scope, account)).unwrap()
}

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
    let request = TokenRequest {
        scope: scope.to_owned(),
        ..plain.request().clone()
    };
    let account = plain.account().cloned();
    TokenKey::with_request(registry, service, String::new(), account, request)
}
