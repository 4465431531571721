//! The contract of `longshore_transport::Transport`, as tests that any transport can run.
//!
//! A [`Subject`] says how to make the transport. [`check`] runs the mandatory cases, and the cases
//! of each capability that the transport declares, against servers on loopback. Each case is also a
//! function of its own, so that a test can run one of them and a failure has a name.
//!
//! The cases await nothing but the transport and servers on threads of their own, so they run on
//! any async runtime. A case that does not end within the subject's
//! [patience](Subject::patience) has failed.
//!
//! ```
//! use longshore_testkit::transport_conformance::{self, Subject};
//! use longshore_transport::{Capabilities, Capability};
//!
//! async fn my_transport_keeps_the_contract() {
//!     let subject = Subject::new(|setup| {
//! #       let _ = setup;
//! #       longshore_transport::from_fn(|_| async { Ok(http::Response::default()) })
//!         // … make a transport that trusts `setup.roots` …
//!     });
//!     let declared = Capabilities::none().with(Capability::PeerClass);
//!     transport_conformance::check(&subject, declared).await;
//! }
//! # let _ = my_transport_keeps_the_contract;
//! ```

use std::pin::Pin;

use longshore_transport::{Capabilities, Capability, Transport as _};

pub use self::finding::ConformanceError;
pub use self::subject::{Setup, Subject};

mod address;
mod ending;
mod failure;
mod finding;
mod phase;
mod request;
mod response;
mod server;
mod source;
mod subject;
mod tls;

/// One rule of the contract as a test.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Case {
    /// The rule in words; also the name of the function that runs the case.
    pub name: &'static str,
    /// The capability whose rule it is; `None` for the rules of every transport.
    pub needs: Option<Capability>,
    run: fn(&Subject) -> Running<'_>,
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<(), ConformanceError>> + Send + 'a>>;

impl Case {
    /// Runs the case.
    ///
    /// # Errors
    ///
    /// How the transport broke the rule.
    pub async fn run(&self, subject: &Subject) -> Result<(), ConformanceError> {
        (self.run)(subject).await
    }
}

/// Runs every mandatory case, and those of the capabilities in `declared`.
///
/// # Panics
///
/// When the transport declares other capabilities than these, or breaks a rule. The message names
/// every case that failed, and what was found.
pub async fn check(subject: &Subject, declared: Capabilities) {
    let found = subject.transport().capabilities();
    assert_eq!(found, declared, "the transport declares other capabilities");
    let mut failures = Vec::new();
    for case in CASES {
        if case.needs.is_none_or(|capability| declared.has(capability)) {
            failures.extend(case.run(subject).await.err());
        }
    }
    let lines: Vec<_> = failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{}", lines.join("\n"));
}

/// Writes each case as a public function, and all of them as a list.
macro_rules! cases {
    ($($(#[doc = $doc:literal])+ case($needs:expr) $module:ident::$name:ident;)+) => {
        $(
            $(#[doc = $doc])+
            ///
            /// # Errors
            ///
            /// What the transport did instead.
            pub async fn $name(subject: &Subject) -> Result<(), ConformanceError> {
                subject.run(stringify!($name), $module::$name(subject)).await
            }
        )+

        /// Every case, in the order in which [`check`] runs them.
        pub const CASES: &[Case] = &[$(Case {
            name: stringify!($name),
            needs: $needs,
            run: |subject| Box::pin($name(subject)),
        }),+];
    };
}

cases! {
    /// Method, header fields and their order arrive as they were given, and no field is added but
    /// those the contract allows.
    case(None) request::heads_arrive_unchanged;
    /// Path and query arrive byte for byte. Unusual ones may be refused, but not changed.
    case(None) request::paths_arrive_unchanged;
    /// Bodies arrive whole, with a `Content-Length` if their length is known.
    case(None) request::request_bodies_arrive_with_their_length;
    /// A large request body is read as the peer takes it.
    case(None) request::request_bodies_are_streamed;
    /// A request whose body fails does not look complete to the peer.
    case(None) request::a_failed_request_body_is_never_complete;
    /// No credentials are sent but those in the header fields: none of the URI, and none in answer
    /// to a 401 or 407.
    case(None) request::no_credentials_are_added;
    /// A cookie that one response sets is not sent with the next request.
    case(None) request::cookies_are_not_kept;
    /// A redirect is a response.
    case(None) request::redirects_are_not_followed;
    /// Neither a broken connection nor an error status makes the transport send a request again.
    case(None) request::requests_are_not_repeated;
    /// Status, header fields and body arrive as the peer sent them.
    case(None) response::responses_arrive_unchanged;
    /// A transfer coding overrides a length, equal lengths count as one, and different lengths are
    /// an error.
    case(None) response::lengths_are_settled;
    /// A body with a `Content-Encoding` is not decoded.
    case(None) response::bodies_are_not_decoded;
    /// The head of a response is given before its body has arrived, and a large body is not read
    /// ahead of its reader as a whole.
    case(None) response::response_bodies_are_streamed;
    /// Responses to HEAD, and those with 204 and 304, have no body whatever their header says.
    case(None) response::responses_to_head_have_no_body;
    /// Interim responses are skipped, up to sixteen.
    case(None) response::interim_responses_are_skipped;
    /// Interim responses without end are refused, or end when the request is dropped.
    case(None) response::a_flood_of_interim_responses_ends;
    /// A head of 128 fields and 64 KiB is accepted, and no larger one.
    case(None) response::response_heads_are_limited;
    /// A connection that ends before the head, or a head that is not HTTP, is a failure after which
    /// another attempt may help.
    case(None) failure::a_broken_head_is_an_error;
    /// A body that ends before its framing says so gives an error, and no clean end.
    case(None) failure::a_cut_body_is_an_error;
    /// A request for https is not sent to a peer that does not speak TLS.
    case(None) tls::https_is_never_sent_in_the_clear;
    /// A certificate that is not acceptable is never reported as a peer without TLS, and neither is
    /// a peer that closes the connection.
    case(None) tls::a_certificate_error_is_not_a_missing_tls;
    /// Dropping the future closes the connection that waits for the response.
    case(None) ending::a_dropped_request_ends;
    /// Dropping the body closes the connection that still sends it.
    case(None) ending::a_dropped_body_ends;
    /// Sixteen requests are under way at the same time.
    case(None) ending::requests_run_in_parallel;
    /// RE3, RD2: an address that the policy does not permit is refused before a connection is made,
    /// whether it is written in the URI or a name leads to it.
    case(Some(Capability::AddressPolicy)) address::re3_addresses_are_refused_before_connecting;
    /// RE3, RD2: a connection made under one policy does not serve a request under another.
    case(Some(Capability::AddressPolicy)) address::re3_policies_do_not_share_connections;
    /// CR4: a name below `localhost` is this machine, whatever a resolver says.
    case(Some(Capability::AddressPolicy)) address::cr4_names_below_localhost_are_this_machine;
    /// RE3: a response says that it came from a loopback address, also on a reused connection.
    case(Some(Capability::PeerClass)) address::re3_the_class_of_the_peer_is_reported;
    /// Errors say whether anything was sent, and whether the response had begun.
    case(Some(Capability::ErrorPhase)) phase::errors_say_how_far_the_exchange_was;
    /// RT5: responses and errors say whether their connection had served before.
    case(Some(Capability::ErrorPhase)) phase::rt5_reused_connections_are_reported;
    /// RT5: a request that requires a new connection does not use an idle one.
    case(Some(Capability::ErrorPhase)) phase::rt5_a_new_connection_is_made_where_one_is_wished_for;
    /// Each identity uses its own TLS setting, and a name that is not configured is refused.
    case(Some(Capability::TlsIdentity)) tls::identities_choose_their_settings;
    /// A connection made under one identity does not serve a request under another.
    case(Some(Capability::TlsIdentity)) tls::identities_do_not_share_connections;
}
