use super::*;

// RE3
#[test]
fn re3_every_address_has_the_class_the_rules_give_it() {
    for (class, addresses) in [
        (
            AddressClass::Loopback,
            &["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"][..],
        ),
        (
            AddressClass::Private,
            &[
                "10.0.0.1",
                "172.16.0.1",
                "172.31.255.255",
                "192.168.255.1",
                "100.64.0.1",
                "100.127.255.255",
                "fc00::1",
                "fdff::1",
                "fec0::1",
                "::ffff:10.1.2.3",
                "64:ff9b::10.0.0.1",
                "2002:c0a8:0101::1",
                "192.0.0.1",
                "198.18.0.1",
                "198.19.255.255",
                "240.0.0.1",
                "255.255.255.254",
                "2001:2::1",
                "5f00::1",
                "::ffff:0:10.1.2.3",
                "64:ff9b:1::10.0.0.1",
                // The same by the prefixes of 48, 56 and 64 bits.
                "64:ff9b:1:a00:0:100::",
                "64:ff9b:1:a00:0:100:101:101",
                "64:ff9b:1:ffa:0:1::",
                "64:ff9b:1:fff0:a:0:100:0",
                // Teredo: a private client, and a private server.
                "2001:0:4136:e378:8000:63bf:f5ff:fffe",
                "2001:0:a00:1:8000:63bf:fefe:fefe",
            ],
        ),
        (
            AddressClass::Never,
            &[
                "169.254.169.254",
                "169.254.0.1",
                "0.0.0.0",
                "0.1.2.3",
                "224.0.0.1",
                "239.255.255.255",
                "255.255.255.255",
                "100.100.100.200",
                "::",
                "fe80::1",
                "febf::1",
                "ff02::1",
                "fd00:ec2::254",
                "::ffff:169.254.169.254",
                "64:ff9b::a9fe:a9fe",
                "2002:a9fe:a9fe::",
                "::169.254.169.254",
                "168.63.129.16",
                "192.0.0.192",
                "fd00:ec2::23",
                "fd20:ce::254",
                "fd00:42::42",
                "fd00:c1::a9fe:a9fe",
                "fd00:a9fe:a9fe::1",
                "fd00:100::100:200",
                "::ffff:168.63.129.16",
                "64:ff9b::168.63.129.16",
                "64:ff9b:1::169.254.169.254",
                "64:ff9b:1:a9fe:a9:fe00::",
                "2001:0:4136:e378:8000:63bf:5601:5601",
            ],
        ),
        (
            AddressClass::Public,
            &[
                "1.1.1.1",
                "172.15.0.1",
                "172.32.0.1",
                "100.63.0.1",
                "100.128.0.1",
                "192.169.0.1",
                "169.253.0.1",
                "2606:4700::1111",
                "64:ff9b::1.1.1.1",
                "::ffff:1.1.1.1",
                "64:ff9b:1::1.1.1.1",
                "64:ff9b:1:101:1:100::",
                "2001:0:4136:e378:8000:63bf:fefe:fefe",
                "2002:101:101::",
                "192.0.1.1",
                "198.17.255.255",
                "198.20.0.1",
                "168.63.129.17",
                "2001:200::1",
                "2001:2:1::1",
                // For documentation: nobody is there.
                "192.0.2.1",
                "2001:db8::1",
            ],
        ),
    ] {
        for address in addresses {
            assert_eq!(
                AddressClass::of(address.parse().unwrap()),
                class,
                "{address}"
            );
        }
    }
}

// RE3
#[test]
fn re3_a_narrower_class_is_refused() {
    use AddressClass::{Loopback, Never, Private, Public};
    let addresses = ["1.1.1.1", "10.0.0.1", "127.0.0.1", "169.254.169.254"];
    for (bound, passes) in [
        (Public, [true, false, false, false]),
        (Private, [true, true, false, false]),
        (Loopback, [true, true, true, false]),
        (Never, [true, false, false, false]),
    ] {
        let policy = AddressPolicy::AtLeast {
            class: bound,
            allow: AllowAddresses::default(),
        };
        let actual = addresses.map(|a| policy.check(a.parse().unwrap()).is_ok());
        assert_eq!(actual, passes, "{bound:?}");
        let any = addresses.map(|a| AddressPolicy::Any.check(a.parse().unwrap()).is_ok());
        assert_eq!(any, [true; 4]);
    }
}

// RE3
#[test]
fn re3_allowed_addresses_pass_but_never_the_class_never() {
    let allow: AllowAddresses = ["10.0.0.0/8", "169.254.0.0/16"]
        .map(|r| r.parse::<AddressRange>().unwrap())
        .into_iter()
        .collect();
    let policy = AddressPolicy::AtLeast {
        class: AddressClass::Public,
        allow,
    };
    let check = |address: &str| policy.check(address.parse().unwrap());
    assert_eq!(check("10.1.2.3"), Ok(()));
    assert_eq!(check("::ffff:10.1.2.3"), Ok(()));
    assert_eq!(
        check("192.168.0.1").unwrap_err().to_string(),
        "192.168.0.1 is a private address, but the server that named it has a public one"
    );
    assert_eq!(
        check("169.254.169.254").unwrap_err(),
        AddressRefused {
            address: "169.254.169.254".parse().unwrap(),
            class: AddressClass::Never,
            at_least: AddressClass::Public,
        }
    );
}

#[test]
fn ranges_are_read_and_written_alike() {
    let read = |text: &str| text.parse::<AddressRange>().map(|range| range.to_string());
    for text in [
        "10.0.0.0/8",
        "0.0.0.0/0",
        "fd00::/8",
        "::/0",
        "192.168.1.1/32",
        "::1/128",
    ] {
        assert_eq!(read(text).as_deref(), Ok(text));
    }
    assert_eq!(read("10.1.2.3").as_deref(), Ok("10.1.2.3/32"));
    assert_eq!(read("::1").as_deref(), Ok("::1/128"));
    for text in [
        "",
        "10.0.0.0/33",
        "::/129",
        "10/8",
        "10.0.0.0/",
        "10.0.0.0/+8",
        "x/8",
        "/8",
    ] {
        assert_eq!(
            read(text),
            Err(AddressRangeError::Form { text: text.into() }),
            "{text}"
        );
    }
    for text in ["10.0.0.1/8", "fd00::1/64", "128.0.0.0/0"] {
        assert_eq!(
            read(text),
            Err(AddressRangeError::HostBits { text: text.into() }),
            "{text}"
        );
    }
}

#[test]
fn a_range_ends_at_its_prefix() {
    let contains = |range: &str, address: &str| {
        range
            .parse::<AddressRange>()
            .unwrap()
            .contains(address.parse().unwrap())
    };
    assert!(contains("10.0.0.0/8", "10.255.255.255"));
    assert!(!contains("10.0.0.0/8", "11.0.0.0"));
    assert!(contains("0.0.0.0/0", "255.255.255.255"));
    assert!(!contains("0.0.0.0/0", "::1"));
    assert!(contains("fd00::/8", "fdff::1"));
    assert!(!contains("fd00::/8", "fe00::1"));
    assert!(contains("10.0.0.0/8", "::ffff:10.0.0.1"));
}

#[test]
fn the_order_of_allowed_ranges_does_not_matter() {
    let set = |ranges: &[&str]| -> AllowAddresses {
        ranges
            .iter()
            .map(|r| r.parse::<AddressRange>().unwrap())
            .collect()
    };
    assert_eq!(
        set(&["10.0.0.0/8", "fd00::/8"]),
        set(&["fd00::/8", "10.0.0.0/8", "fd00::/8"])
    );
    assert_eq!(set(&[]), AllowAddresses::default());
    assert_ne!(set(&["10.0.0.0/8"]), AllowAddresses::default());
}
