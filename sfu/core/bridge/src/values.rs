//! Checks of single values. Each raises `ValueError` that says which value was wrong and why;
//! a value of the wrong type raises `TypeError`.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use kinguicall_proto::api::{
    Codec, DtlsRole, ExtensionId, ExtensionKind, IceCredentials, MediaKind, Mid, ReceiveCodec, Rid,
    SendCodec, Ssrc,
};
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyAny;

/// Lengths that RFC 8839, section 5.4 allows.
const UFRAG_CHARS: RangeInclusive<usize> = 4..=256;
const PASSWORD_CHARS: RangeInclusive<usize> = 22..=256;
/// SDES items have a length of one byte (RFC 3550, section 6.5).
const MAX_CNAME_BYTES: usize = 255;
/// More of anything in one section is a mistake or an attack.
const MAX_ITEMS: usize = 256;

/// A Python integer of any size: one that is out of range is a `ValueError` here like any other
/// wrong value, not an `OverflowError`.
#[derive(Debug, Clone, Copy)]
pub struct Number(i64);

impl<'a, 'py> FromPyObject<'a, 'py> for Number {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match object.extract::<i64>() {
            Ok(number) => Ok(Self(number)),
            Err(error) if error.is_instance_of::<PyOverflowError>(object.py()) => {
                Ok(Self(i64::MIN))
            }
            Err(error) => Err(error),
        }
    }
}

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        Self(number)
    }
}

impl Number {
    /// The number, if it is between `low` and `high`.
    fn within(self, what: &str, low: i64, high: i64) -> PyResult<i64> {
        if (low..=high).contains(&self.0) {
            return Ok(self.0);
        }
        let message = if self.0 == i64::MIN {
            format!("{what} must be {low} to {high}")
        } else {
            format!("{what} must be {low} to {high}, not {}", self.0)
        };
        Err(PyValueError::new_err(message))
    }

    pub fn as_u8(self, what: &str, high: u8) -> PyResult<u8> {
        Ok(self.within(what, 0, i64::from(high))? as u8)
    }

    pub fn as_u16(self, what: &str) -> PyResult<u16> {
        Ok(self.within(what, 0, i64::from(u16::MAX))? as u16)
    }

    pub fn as_u32(self, what: &str) -> PyResult<u32> {
        Ok(self.within(what, 0, i64::from(u32::MAX))? as u32)
    }

    /// Bits a second, at least one.
    pub fn as_bitrate(self, what: &str) -> PyResult<u64> {
        Ok(self.within(what, 1, i64::MAX)? as u64)
    }

    /// A count of at least one.
    pub fn as_count(self, what: &str, high: usize) -> PyResult<usize> {
        Ok(self.within(what, 1, high as i64)? as usize)
    }

    pub fn as_u64(self, what: &str) -> PyResult<u64> {
        Ok(self.within(what, 0, i64::MAX)? as u64)
    }

    fn as_payload_type(self, what: &str) -> PyResult<u8> {
        self.as_u8(what, 127)
    }

    fn as_ssrc(self, what: &str) -> PyResult<Ssrc> {
        self.as_u32(what).map(Ssrc)
    }
}

/// One payload type of a section.
#[pyclass(frozen, eq, hash, get_all)]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CodecSpec {
    payload_type: u8,
    codec: String,
    clock_rate_hz: u32,
    rtx_payload_type: Option<u8>,
}

#[pymethods]
impl CodecSpec {
    #[new]
    #[pyo3(signature = (payload_type, codec, clock_rate_hz, rtx_payload_type=None))]
    fn new(
        payload_type: Number,
        codec: String,
        clock_rate_hz: Number,
        rtx_payload_type: Option<Number>,
    ) -> PyResult<Self> {
        if codec.is_empty() {
            return Err(PyValueError::new_err("codec must not be empty"));
        }
        let rtx = rtx_payload_type.map(|n| n.as_payload_type("rtx_payload_type"));
        Ok(Self {
            payload_type: payload_type.as_payload_type("payload_type")?,
            codec,
            clock_rate_hz: clock_rate_hz.within("clock_rate_hz", 1, i64::from(u32::MAX))? as u32,
            rtx_payload_type: rtx.transpose()?,
        })
    }

    fn __repr__(&self) -> String {
        format!("{self:?}")
    }
}

impl CodecSpec {
    pub fn to_receive(&self) -> ReceiveCodec {
        ReceiveCodec {
            payload_type: self.payload_type,
            codec: codec(&self.codec),
            clock_rate_hz: self.clock_rate_hz,
            rtx_payload_type: self.rtx_payload_type,
        }
    }

    /// As what leaves for the publisher's `from`.
    pub fn to_send(&self, from: Number) -> PyResult<SendCodec> {
        Ok(SendCodec {
            from_payload_type: from.as_payload_type("the publisher's payload type")?,
            payload_type: self.payload_type,
            rtx_payload_type: self.rtx_payload_type,
            codec: codec(&self.codec),
            clock_rate_hz: self.clock_rate_hz,
        })
    }
}

/// By its lower-case encoding name.
pub(crate) fn codec(name: &str) -> Codec {
    match name {
        "opus" => Codec::Opus,
        "red" => Codec::Red,
        "vp8" => Codec::Vp8,
        "h264" => Codec::H264,
        "vp9" => Codec::Vp9,
        "av1" => Codec::Av1,
        _ => Codec::Opaque,
    }
}

fn wrong(message: String) -> PyErr {
    PyValueError::new_err(message)
}

pub(crate) fn limit_items(what: &str, count: usize) -> PyResult<()> {
    if count > MAX_ITEMS {
        return Err(wrong(format!("at most {MAX_ITEMS} {what}, not {count}")));
    }
    Ok(())
}

pub(crate) fn media_kind(kind: &str) -> PyResult<MediaKind> {
    match kind {
        "audio" => Ok(MediaKind::Audio),
        "video" => Ok(MediaKind::Video),
        _ => Err(wrong(format!(
            "kind must be \"audio\" or \"video\", not {kind:?}"
        ))),
    }
}

pub(crate) fn dtls_role(role: &str) -> PyResult<DtlsRole> {
    match role {
        "client" => Ok(DtlsRole::Client),
        "server" => Ok(DtlsRole::Server),
        _ => Err(wrong(format!(
            "dtls_role must be \"client\" or \"server\", not {role:?}"
        ))),
    }
}

pub(crate) fn mid(text: &str) -> PyResult<Mid> {
    let valid = text.bytes().all(|b| b.is_ascii_graphic());
    Mid::new(text.as_bytes()).filter(|_| valid).ok_or_else(|| {
        wrong(format!(
            "mid must be 1 to 16 visible ASCII characters, not {text:?}"
        ))
    })
}

pub(crate) fn rid(text: &str) -> PyResult<Rid> {
    let valid = text.bytes().all(|b| b.is_ascii_alphanumeric());
    Rid::new(text.as_bytes()).filter(|_| valid).ok_or_else(|| {
        wrong(format!(
            "a rid must be 1 to 16 ASCII letters or digits, not {text:?}"
        ))
    })
}

/// Extensions whose URI is known here; the others are nobody's concern.
pub(crate) fn extensions(pairs: &[(Number, String)]) -> PyResult<Vec<ExtensionId>> {
    limit_items("extensions", pairs.len())?;
    let mut known = Vec::with_capacity(pairs.len());
    for (id, uri) in pairs {
        let id = id.within("an extension's id", 1, 255)? as u8;
        if let Some(kind) = ExtensionKind::from_uri(uri) {
            known.push(ExtensionId { id, kind });
        }
    }
    Ok(known)
}

pub(crate) fn ssrc(number: Number, what: &str) -> PyResult<Ssrc> {
    number.as_ssrc(what)
}

pub(crate) fn ssrcs(pairs: &[(Number, Option<Number>)]) -> PyResult<Vec<(Ssrc, Option<Ssrc>)>> {
    limit_items("ssrcs", pairs.len())?;
    pairs
        .iter()
        .map(|(media, rtx)| {
            let rtx = rtx.map(|n| n.as_ssrc("an RTX SSRC")).transpose()?;
            Ok((media.as_ssrc("an SSRC")?, rtx))
        })
        .collect()
}

pub(crate) fn cname(text: String) -> PyResult<String> {
    if text.is_empty() || text.len() > MAX_CNAME_BYTES {
        let length = text.len();
        return Err(wrong(format!(
            "cname must be 1 to {MAX_CNAME_BYTES} bytes, not {length}"
        )));
    }
    Ok(text)
}

/// The messages do not repeat the values: they are secrets.
pub(crate) fn ice_credentials(ufrag: String, password: String) -> PyResult<IceCredentials> {
    let visible = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
    if !UFRAG_CHARS.contains(&ufrag.len()) || !visible(&ufrag) || ufrag.contains(':') {
        return Err(wrong(
            "ice_ufrag must be 4 to 256 ICE characters".to_owned(),
        ));
    }
    if !PASSWORD_CHARS.contains(&password.len()) || !visible(&password) {
        return Err(wrong(
            "ice_password must be 22 to 256 ICE characters".to_owned(),
        ));
    }
    Ok(IceCredentials { ufrag, password })
}

/// 32 colon-separated bytes in hexadecimal (RFC 8122, section 5).
pub(crate) fn fingerprint(text: &str) -> PyResult<[u8; 32]> {
    let malformed = || {
        wrong(format!(
            "fingerprint_sha256 must be 32 bytes like \"AB:CD:...\", not {text:?}"
        ))
    };
    let mut bytes = [0; 32];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().ok_or_else(malformed)?;
        let is_hex = part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_hex {
            return Err(malformed());
        }
        *byte = u8::from_str_radix(part, 16).map_err(|_| malformed())?;
    }
    match parts.next() {
        None => Ok(bytes),
        Some(_) => Err(malformed()),
    }
}

pub(crate) fn format_fingerprint(bytes: &[u8; 32]) -> String {
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    hex.join(":")
}

pub(crate) fn addresses(what: &str, texts: &[String]) -> PyResult<Vec<IpAddr>> {
    limit_items(what, texts.len())?;
    texts
        .iter()
        .map(|text| {
            text.parse()
                .map_err(|_| wrong(format!("{what}: {text:?} is not an IP address")))
        })
        .collect()
}
