use http::StatusCode;
use longshore_proto::error_code::ErrorBody;

use super::*;

fn refused(status: u16) -> Error {
    let status = StatusCode::from_u16(status).unwrap();
    let refusal = Refusal::new(status, ErrorBody::default());
    Error::new(Operation::Connect, "r.example", Cause::Refused(refusal))
}

#[test]
fn the_class_of_a_refusal_says_whether_credentials_were_there() {
    for with_credentials in [false, true] {
        for status in [401, 403] {
            let credentials = if with_credentials {
                FoundCredentials::Some
            } else {
                FoundCredentials::None(None)
            };
            let error = refused(status).with_credentials(credentials);
            assert_eq!(error.class(), ErrorClass::Refused { with_credentials });
            assert_eq!(error.had_credentials(), with_credentials);
        }
    }
}

#[test]
fn a_class_tells_absence_and_missing_support_from_failure() {
    for (status, class) in [
        (404, ErrorClass::Absent),
        (400, ErrorClass::Unsupported),
        (405, ErrorClass::Unsupported),
        (406, ErrorClass::Unsupported),
        (501, ErrorClass::Unsupported),
        (429, ErrorClass::Unavailable),
        (500, ErrorClass::Unavailable),
        (503, ErrorClass::Unavailable),
    ] {
        assert_eq!(refused(status).class(), class, "{status}");
    }
    let other = |cause| Error::new(Operation::Connect, "r.example", cause).class();
    assert_eq!(other(Cause::NotAnIndex), ErrorClass::Unsupported);
    assert_eq!(other(Cause::TooLarge { limit: 1 }), ErrorClass::Other);
    let looped = ListingError::Loop { page: 1 };
    assert_eq!(other(Cause::Listing(looped)), ErrorClass::Other);
}
