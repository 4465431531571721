//! One request on its way through a registry.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Method, StatusCode};
use longshore_proto::Refusal;
use longshore_proto::endpoint::{Endpoint, UploadStep};
use longshore_proto::error_code::ErrorBody;
use longshore_proto::route::RouteError;

use super::State;
use super::misbehave::Misbehaviour;
use crate::requests::unpoisoned;
use crate::serve::{Handler, Intake, Reading};
use crate::{RecordedRequest, ScriptedResponse};

/// The state of the registry as the handler of its server.
pub(super) struct Serving(pub(super) Arc<State>);

impl Handler for Serving {
    fn intake(&self, request: &RecordedRequest) -> Intake {
        let state = &self.0;
        let endpoint = state.route(request);
        let demand = state.demand.check(request, endpoint.as_ref().ok());
        let mut rules = unpoisoned(&state.rules);
        let mut reading = Reading::whole();
        if let Some(early) = rules.read(request, demand.is_ok(), &mut reading) {
            return Intake::Answer(Box::new(early));
        }
        let early = match demand {
            Err(refusal) if state.quirks.early_refusal => Some(refusal),
            _ => state.refuse_body(request),
        };
        if let Some(refusal) = early {
            let answer = refusal.write(&request.method).into();
            return Intake::Answer(Box::new(answer));
        }
        reading.limit = state.quirks.body_max_bytes.unwrap_or(reading.limit);
        Intake::Read(reading)
    }

    fn paused(&self, request: &RecordedRequest) {
        if let Ok(Endpoint::Upload(wanted)) = self.0.route(request) {
            self.0.note_arriving(&wanted, request);
        }
    }

    fn answer(&self, request: &RecordedRequest) -> ScriptedResponse {
        let state = &self.0;
        let endpoint = state.route(request);
        let demand = state.demand.check(request, endpoint.as_ref().ok());
        let allowed = demand.is_ok();
        if allowed {
            state.demand.spend(request);
        }
        let answer = match (demand, endpoint) {
            (Err(refusal), _) => Err(refusal),
            (Ok(()), Err(error)) => Err(error.refusal()),
            (Ok(()), Ok(endpoint)) if request.complete || is_session(&endpoint) => {
                state.serve(&endpoint, request)
            }
            // An incomplete request has no other effect.
            (Ok(()), Ok(_)) => Err(RouteError::Unknown.refusal()),
        };
        let answer = answer.unwrap_or_else(|mut refusal| {
            if refusal.status == StatusCode::NOT_FOUND && !is_write(&request.method) {
                refusal.status = state.quirks.absent;
            }
            refusal.write(&request.method).into()
        });
        if !request.complete {
            return answer;
        }
        let strikes = unpoisoned(&state.rules).strikes(request, allowed);
        strikes
            .into_iter()
            .fold(answer, |answer, (what, struck)| match what {
                Misbehaviour::ForgetUploads => {
                    unpoisoned(&state.sessions).forget();
                    answer
                }
                Misbehaviour::RevokeTokens => {
                    state.demand.revoke();
                    answer
                }
                other => other.apply(request, struck, answer),
            })
    }
}

impl State {
    /// The refusal of a request whose body is not read.
    fn refuse_body(&self, request: &RecordedRequest) -> Option<Refusal> {
        let length = request.header(CONTENT_LENGTH.as_str());
        let length = length.and_then(|length| length.parse::<u64>().ok());
        let max = self.quirks.body_max_bytes.unwrap_or(u64::MAX);
        let status = match length {
            Some(length) if length > max => StatusCode::PAYLOAD_TOO_LARGE,
            None if self.quirks.length_required && is_write(&request.method) => {
                // A request without a body has neither of the two fields.
                request.headers.get(TRANSFER_ENCODING)?;
                StatusCode::LENGTH_REQUIRED
            }
            _ => return None,
        };
        Some(Refusal::new(status, ErrorBody::default()))
    }
}

/// Whether a request continues an upload session.
fn is_session(endpoint: &Endpoint) -> bool {
    let Endpoint::Upload(wanted) = endpoint else {
        return false;
    };
    matches!(
        wanted.step,
        UploadStep::Chunk { .. } | UploadStep::Finish { .. }
    )
}

/// Whether a method changes something.
pub(super) fn is_write(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}
