use super::*;

type Read = (&'static str, &'static [(&'static str, &'static str)]);

#[test]
fn examples_of_the_rfcs_are_read() {
    // RFC 9110 §11.6.1
    check(
        r#"Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\"""#,
        &[
            ("Basic", &[("realm", "simple")]),
            (
                "Newauth",
                &[
                    ("realm", "apps"),
                    ("type", "1"),
                    ("title", r#"Login to "apps""#),
                ],
            ),
        ],
    );
    // RFC 6750 §3
    check(
        r#"Bearer realm="example", error="invalid_token", error_description="The token expired""#,
        &[(
            "Bearer",
            &[
                ("realm", "example"),
                ("error", "invalid_token"),
                ("error_description", "The token expired"),
            ],
        )],
    );
    // RFC 7617 §2.1
    check(
        r#"Basic realm="foo", charset="UTF-8""#,
        &[("Basic", &[("realm", "foo"), ("charset", "UTF-8")])],
    );
}

#[test]
fn commas_separate_challenges_parameters_and_nothing() {
    check("", &[]);
    check(" ,\t, ", &[]);
    check("A", &[("A", &[])]);
    check("A, B", &[("A", &[]), ("B", &[])]);
    check("A ,,B ,", &[("A", &[]), ("B", &[])]);
    check("A , x=y", &[("A", &[("x", "y")])]);
    check("A \t, x=y", &[("A", &[("x", "y")])]);
    check(
        "A x=1,, y=2 ,\tz=3",
        &[("A", &[("x", "1"), ("y", "2"), ("z", "3")])],
    );
    check(
        "A x=1, B y=2",
        &[("A", &[("x", "1")]), ("B", &[("y", "2")])],
    );
    check(
        "A x = 1 , B\t,C y\t=\t2",
        &[("A", &[("x", "1")]), ("B", &[]), ("C", &[("y", "2")])],
    );
}

#[test]
fn a_token68_is_told_from_a_parameter() {
    check("A b", &[("A", &[("", "b")])]);
    check("A b==", &[("A", &[("", "b==")])]);
    check("A b= ,B", &[("A", &[("", "b=")]), ("B", &[])]);
    check("A  /+~._-=", &[("A", &[("", "/+~._-=")])]);
    check("A b=c", &[("A", &[("b", "c")])]);
    check("A b =c", &[("A", &[("b", "c")])]);
    check(
        r#"Negotiate YWJjZA==, Basic realm="x""#,
        &[
            ("Negotiate", &[("", "YWJjZA==")]),
            ("Basic", &[("realm", "x")]),
        ],
    );
}

#[test]
fn quoted_values_are_unescaped() {
    check(r#"A x="""#, &[("A", &[("x", "")])]);
    check(
        r#"A x="\"\\\a, B y=z""#,
        &[("A", &[("x", r#""\a, B y=z"#)])],
    );
    check("A x=\"\t\u{e4}\"", &[("A", &[("x", "\t\u{e4}")])]);
    check("A x='y'", &[("A", &[("x", "'y'")])]);
}

#[test]
fn nothing_is_copied_that_needs_no_unescaping() {
    let line = br#"A x=1, y="2", z="\3""#.as_slice();
    let challenge = Challenge::parse_all([line].into_iter()).next();
    let copied: Vec<_> = challenge
        .unwrap()
        .unwrap()
        .params()
        .map(|(name, value)| (name, matches!(value, Cow::Owned(_))))
        .collect();
    assert_eq!(copied, [("x", false), ("y", false), ("z", true)]);
}

/// Checks a line that follows the grammar: no fault, and the same after printing.
fn check(line: &str, expected: &[Read]) {
    let read = read(&[line.as_bytes()]);
    assert_eq!(read, describe(expected, None), "{line:?}");
    for challenge in Challenge::parse_all([line.as_bytes()].into_iter()).flatten() {
        let printed = challenge.to_bytes();
        let again: Vec<_> = Challenge::parse_all([printed.as_slice()].into_iter()).collect();
        let [Ok(again)] = again.as_slice() else {
            panic!("{line:?} prints as {printed:?}, which reads as {again:?}");
        };
        assert_eq!(again.to_bytes(), printed);
        assert_eq!(again.leniency(), None);
    }
}

#[test]
fn departures_with_one_meaning_are_taken_and_reported() {
    let kind = FaultKind::Unquoted;
    lenient(
        "Bearer realm=https://a/t?x=y,service=r",
        &[("Bearer", &[("realm", "https://a/t?x=y"), ("service", "r")])],
        (7, kind),
    );
    lenient(
        "A x=\u{e4} y=1",
        &[("A", &[("x", "\u{e4}"), ("y", "1")])],
        (2, kind),
    );

    let kind = FaultKind::NoComma;
    lenient(
        r#"A x="1" y="2"z=3"#,
        &[("A", &[("x", "1"), ("y", "2"), ("z", "3")])],
        (8, kind),
    );
    let kind = FaultKind::NoSpace;
    lenient("A\tx=1", &[("A", &[("x", "1")])], (2, kind));
    lenient("A \tx=1", &[("A", &[("x", "1")])], (3, kind));
    lenient("A\tb==", &[("A", &[("", "b==")])], (2, kind));
    lenient("A, x=1, B", &[("A", &[("x", "1")]), ("B", &[])], (1, kind));
    lenient("A\t, x=1", &[("A", &[("x", "1")])], (2, kind));
}

#[test]
fn what_cannot_be_read_is_dropped_and_the_rest_kept() {
    let kind = FaultKind::Unterminated;
    lenient(r#"A x=1, y="2, B z=3"#, &[("A", &[("x", "1")])], (7, kind));
    lenient(r#"A x="\"#, &[("A", &[])], (2, kind));
    let kind = FaultKind::NoValue;
    lenient("A x=, y=1", &[("A", &[("", "x=")])], (6, FaultKind::Stray));
    lenient(
        "A y=1, x=, z=2",
        &[("A", &[("y", "1"), ("z", "2")])],
        (7, kind),
    );
    lenient("A y=1,x= ", &[("A", &[("y", "1")])], (6, kind));
    let kind = FaultKind::Control;
    lenient("A x=\"\x01, y\", z=2", &[("A", &[("z", "2")])], (2, kind));
    lenient("A x=\"\\\x7f\"", &[("A", &[])], (2, kind));
    let kind = FaultKind::Garbage;
    lenient("A b c, d=e", &[("A", &[("d", "e")])], (2, kind));
    lenient(r#"A "b, c=d", e=f"#, &[("A", &[("e", "f")])], (2, kind));
    lenient(r#"A x=1"y, z", u=2"#, &[("A", &[("u", "2")])], (2, kind));
    lenient(
        "A x=1 =2, B",
        &[("A", &[("x", "1")]), ("B", &[])],
        (6, kind),
    );
    lenient("A x=1 B y=2", &[("A", &[("x", "1")])], (6, kind));
}

#[test]
fn a_good_challenge_after_a_bad_one_is_read() {
    let b: &[Read] = &[("B", &[("z", "1")])];
    let no_scheme = FaultKind::NoScheme;
    lenient(r#""quoted, A", B z=1"#, b, (0, no_scheme));
    lenient(
        "@, x=1, y, B z=1",
        &[("y", &[]), ("B", &[("z", "1")])],
        (0, no_scheme),
    );
    lenient(r#"A"x", y=1, "junk", B z=1"#, b, (0, no_scheme));
    lenient("A(b) c=d, B z=1", b, (0, no_scheme));
    lenient("x=1, y=2, B z=1", b, (0, FaultKind::Stray));
    lenient(r#"x = "A, y", B z=1"#, b, (0, FaultKind::Stray));
    lenient(r#"=", A", B z=1"#, b, (0, no_scheme));
}

/// Checks a line with one fault, whether it comes with a challenge or instead of one.
fn lenient(line: &str, expected: &[Read], (at, kind): (usize, FaultKind)) {
    let found = read(&[line.as_bytes()]);
    assert_eq!(found, describe(expected, Some((0, at, kind))), "{line:?}");
}

#[test]
fn a_fault_names_its_field() {
    let fields: [&[u8]; 4] = [b"A", b"B x=\"", b"C y=1", b"z=1"];
    let faults: Vec<_> = Challenge::parse_all(fields.into_iter())
        .filter_map(|item| item.map_or_else(Some, |c| c.leniency()))
        .map(|fault| fault.to_string())
        .collect();
    assert_eq!(
        faults,
        [
            "quoted value without an end (WWW-Authenticate field 1, byte 2)",
            "parameter that belongs to no challenge (WWW-Authenticate field 3, byte 0)",
        ]
    );
}

#[test]
fn names_are_compared_in_any_case_and_the_first_counts() {
    let line = br#"bEaReR Realm="a", REALM="b""#.as_slice();
    let challenge = Challenge::parse_all([line].into_iter()).next();
    let challenge = challenge.unwrap().unwrap();
    assert!(challenge.is("Bearer"));
    assert_eq!(challenge.scheme(), "bEaReR");
    assert_eq!(challenge.param("realm").as_deref(), Some(b"a".as_slice()));
    assert_eq!(challenge.param("service"), None);
    assert_eq!(challenge.params().count(), 2);
    assert_eq!(
        format!("{challenge:?}"),
        r#"Challenge(bEaReR Realm="a", REALM="b")"#
    );
}

// RE7
#[test]
fn re7_no_more_than_16_challenges_are_read() {
    let line = b"A,".repeat(CHALLENGES_LIMIT);
    let items: Vec<_> = Challenge::parse_all([line.as_slice()].into_iter()).collect();
    assert!(items.len() == CHALLENGES_LIMIT && items.iter().all(Result::is_ok));
    let fields = [line.as_slice(), b" B, C"];
    let items: Vec<_> = Challenge::parse_all(fields.into_iter()).collect();
    assert_eq!(items.len(), CHALLENGES_LIMIT + 1);
    let last = items.last().unwrap().unwrap_err();
    assert_eq!((last.line, last.at, last.kind), (1, 1, FaultKind::TooMany));
    // Faults count too, so that there is an end to them.
    let line = b"@,B,".repeat(CHALLENGES_LIMIT);
    let items = Challenge::parse_all([line.as_slice()].into_iter());
    assert_eq!(items.count(), CHALLENGES_LIMIT + 1);
}

// RE7
#[test]
fn re7_no_more_than_16_kib_are_read() {
    let line = format!("A x=\"{}\"", "y".repeat(CHALLENGES_LIMIT_BYTES - 6));
    let items: Vec<_> = Challenge::parse_all([line.as_bytes()].into_iter()).collect();
    assert!(matches!(items.as_slice(), [Ok(_)]));
    let fields = [line.as_bytes(), b"B"];
    let items: Vec<_> = Challenge::parse_all(fields.into_iter()).collect();
    let [Ok(_), Err(fault)] = items.as_slice() else {
        panic!("{items:?}");
    };
    assert_eq!(
        (fault.line, fault.at, fault.kind),
        (1, 0, FaultKind::TooLong)
    );
}

/// What was read, and the first fault, in one form that tables can be written in.
type Outcome = (
    Vec<(String, Vec<(String, Vec<u8>)>)>,
    Option<(usize, usize, FaultKind)>,
);

fn read(fields: &[&[u8]]) -> Outcome {
    let mut challenges = Vec::new();
    let mut faults = Vec::new();
    for item in Challenge::parse_all(fields.iter().copied()) {
        faults.extend(item.as_ref().map_or_else(|f| Some(*f), Challenge::leniency));
        let Ok(challenge) = item else { continue };
        let token68 = challenge.token68().map(|t| (String::new(), t.into()));
        let params = challenge
            .params()
            .map(|(n, v)| (n.to_owned(), v.into_owned()));
        challenges.push((
            challenge.scheme().to_owned(),
            token68.into_iter().chain(params).collect(),
        ));
    }
    let fault = faults.first().map(|f| (f.line, f.at, f.kind));
    (challenges, fault)
}

fn describe(expected: &[Read], fault: Option<(usize, usize, FaultKind)>) -> Outcome {
    let challenges = expected.iter().map(|(scheme, params)| {
        let params = params
            .iter()
            .map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()));
        ((*scheme).to_owned(), params.collect())
    });
    (challenges.collect(), fault)
}
