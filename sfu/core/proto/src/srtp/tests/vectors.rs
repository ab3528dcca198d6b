//! Published vectors: RFC 3711, RFC 6188, RFC 7714, and the sample packets of libsrtp's test driver
//! (BSD licence), which also pin down key derivation with a salt of 12 bytes.

use super::super::kdf::{Kdf, Label, apply_key_stream, counter_mode_key};
use super::super::{cm, gcm};
use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn key_stream(key: &str, salt: &str) -> Vec<u8> {
    let mut data = vec![0; 48];
    let iv: [u8; 16] = hex(salt).try_into().unwrap();
    apply_key_stream(&counter_mode_key(&hex(key)).unwrap(), iv, &mut data).unwrap();
    data
}

#[test]
fn counter_mode_key_stream_of_rfc_3711_b2() {
    assert_eq!(
        key_stream(
            "2b7e151628aed2a6abf7158809cf4f3c",
            "f0f1f2f3f4f5f6f7f8f9fafbfcfd0000"
        ),
        hex(
            "e03ead0935c95e80e166b16dd92b4eb4d23513162b02d0f72a43a2fe4a5f97ab
             41e95b3bb0a2e8dd477901e4fca894c0"
        )
    );
}

#[test]
fn counter_mode_key_stream_of_rfc_6188_7_1() {
    assert_eq!(
        key_stream(
            "57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98",
            "f0f1f2f3f4f5f6f7f8f9fafbfcfd0000"
        ),
        hex(
            "92bdd28a93c3f52511c677d08b5515a49da71b2378a854f67050756ded165bac
             63c4868b7096d88421b563b8c94c9a31"
        )
    );
}

#[test]
fn key_derivation_of_rfc_3711_b3() {
    let kdf = Kdf::new(
        &hex("e1f97a0d3e018be0d64fa32c06de4139"),
        &hex("0ec675ad498afeebb6960b3aabe6"),
    )
    .unwrap();
    let key: [u8; 16] = kdf.derive(Label::RtpEncryption).unwrap();
    let salt: [u8; 14] = kdf.derive(Label::RtpSalt).unwrap();
    let auth: [u8; 94] = kdf.derive(Label::RtpAuthentication).unwrap();
    assert_eq!(key, *hex("c61e7a93744f39ee10734afe3ff7a087"));
    assert_eq!(salt, *hex("30cbbc08863d8c85d49db34a9ae1"));
    assert_eq!(
        auth,
        *hex(
            "cebe321f6ff7716b6fd4ab49af256a156d38baa48f0a0acf3c34e2359e6cdbcee049646c43d9327a
             d175578ef72270986371c10c9a369ac2f94a8c5fbcdddc256d6e919a48b610ef17c2041e47403576
             6b68642c59bbfc2f34db60dbdfb2"
        )
    );
}

#[test]
fn key_derivation_of_rfc_6188_7_2() {
    let kdf = Kdf::new(
        &hex("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6"),
        &hex("3b04803de51ee7c96423ab5b78d2"),
    )
    .unwrap();
    let key: [u8; 32] = kdf.derive(Label::RtpEncryption).unwrap();
    let salt: [u8; 14] = kdf.derive(Label::RtpSalt).unwrap();
    assert_eq!(
        key,
        *hex("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4")
    );
    assert_eq!(salt, *hex("fa31791685ca444a9e07c6c64e93"));
}

/// Protects `plain` and compares, then opens `cipher` and compares.
fn check_rtp(make: impl Fn() -> Cipher, plain: &str, cipher: &str) {
    let (plain, cipher) = (hex(plain), hex(cipher));
    let mut buf = plain.clone();
    buf.resize(cipher.len(), 0);
    let total = Outbound::new(make())
        .protect_rtp_numbered(&mut buf, 12, plain.len(), 0)
        .unwrap();
    assert_eq!(buf[..total], cipher);
    let header = Header::parse(&buf).unwrap();
    let len = Inbound::new(make())
        .unprotect_rtp(&mut buf, &header)
        .unwrap();
    assert_eq!(buf[..len], plain);
}

fn check_rtcp(make: impl Fn() -> Cipher, index: u32, plain: &str, cipher: &str) {
    let (plain, cipher) = (hex(plain), hex(cipher));
    let mut buf = plain.clone();
    buf.resize(cipher.len(), 0);
    let mut outbound = Outbound::new(make());
    outbound.set_next_rtcp_index(index);
    let total = outbound.protect_rtcp(&mut buf, plain.len()).unwrap();
    assert_eq!(buf[..total], cipher);
    let len = Inbound::new(make()).unprotect_rtcp(&mut buf).unwrap();
    assert_eq!(buf[..len], plain);
}

const RFC_7714_RTP: &str =
    "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e6973206469766973612069
    6e207061727465732074726573";
const RFC_7714_RTCP: &str = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61
    deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";

fn rfc_7714_cipher(key_len: u8) -> Cipher {
    let key: Vec<u8> = (0..key_len).collect();
    let salt = hex("517569642070726f2071756f").try_into().unwrap();
    Cipher::Gcm(gcm::Gcm::from_session_key(&key, salt))
}

#[test]
fn aes_128_gcm_packets_of_rfc_7714() {
    let make = || rfc_7714_cipher(16);
    check_rtp(
        make,
        RFC_7714_RTP,
        "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b
         36de3adf8833899d7f27beb16a9152cf765ee4390cce",
    );
    check_rtcp(
        make,
        0x5d4,
        RFC_7714_RTCP,
        "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b46
         86303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4",
    );
}

#[test]
fn aes_256_gcm_packets_of_rfc_7714() {
    let make = || rfc_7714_cipher(32);
    check_rtp(
        make,
        RFC_7714_RTP,
        "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f
         1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
    );
    check_rtcp(
        make,
        0x5d4,
        RFC_7714_RTCP,
        "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658
         c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
    );
}

const LIBSRTP_RTP: &str = "800f1234decafbadcafebabeabababababababababababababababab";
const LIBSRTP_RTCP: &str = "81c8000bcafebabeabababababababababababababababab";

#[test]
fn aes_cm_packets_of_libsrtp() {
    let kdf = Kdf::new(
        &hex("e1f97a0d3e018be0d64fa32c06de4139"),
        &hex("0ec675ad498afeebb6960b3aabe6"),
    )
    .unwrap();
    let make = || Cipher::Cm(Box::new(cm::Cm::derive(&kdf).unwrap()));
    check_rtp(
        make,
        LIBSRTP_RTP,
        "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb",
    );
    check_rtcp(
        make,
        1,
        LIBSRTP_RTCP,
        "81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798",
    );
}

#[test]
fn aes_128_gcm_packets_of_libsrtp() {
    let kdf = Kdf::new(
        &hex("000102030405060708090a0b0c0d0e0f"),
        &hex("a0a1a2a3a4a5a6a7a8a9aaab"),
    )
    .unwrap();
    let make = || {
        let mut cipher = Cipher::Gcm(gcm::Gcm::derive(&kdf, 16).unwrap());
        cipher.expand_rtp_key().unwrap();
        cipher
    };
    check_rtp(
        make,
        LIBSRTP_RTP,
        "800f1234decafbadcafebabec5002ede04cfdd2eb91159e0880aa06ed2976826f796b201df3131a127e8a392",
    );
    check_rtcp(
        make,
        1,
        LIBSRTP_RTCP,
        "81c8000bcafebabec98b8b5df0392a55852b6c21ac8e7025c52c6fbea2b3b446ea31123ba88ce61e80000001",
    );
}
