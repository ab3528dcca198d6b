//! The dependency descriptor as a header extension of str0m, which does not look inside.

use kinguicall_proto::api::ExtensionKind;
use str0m::rtp::{Extension, ExtensionSerializer, ExtensionValues};

/// Identifier that all clients and the server use.
pub(crate) const DESCRIPTOR_ID: u8 = 12;

const URI: &str =
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

/// The extension's value.
#[derive(Debug, Clone)]
struct Descriptor(Vec<u8>);

#[derive(Debug)]
struct Serializer;

impl ExtensionSerializer for Serializer {
    fn write_to(&self, buf: &mut [u8], values: &ExtensionValues) -> usize {
        let Some(Descriptor(bytes)) = values.user_values.get() else {
            return 0;
        };
        buf[..bytes.len()].copy_from_slice(bytes);
        bytes.len()
    }

    fn parse_value(&self, buf: &[u8], values: &mut ExtensionValues) -> bool {
        values.user_values.set(Descriptor(buf.to_vec()));
        true
    }

    fn is_video(&self) -> bool {
        true
    }

    fn is_audio(&self) -> bool {
        false
    }

    fn requires_two_byte_form(&self, values: &ExtensionValues) -> bool {
        let value: Option<&Descriptor> = values.user_values.get();
        value.is_some_and(|Descriptor(bytes)| bytes.len() > 16)
    }
}

pub(crate) fn extension() -> Extension {
    debug_assert_eq!(
        ExtensionKind::from_uri(URI),
        Some(ExtensionKind::DependencyDescriptor)
    );
    Extension::with_serializer(URI, Serializer)
}

/// A packet's descriptor, empty if it has none.
pub(crate) fn of(values: &ExtensionValues) -> Vec<u8> {
    let value: Option<&Descriptor> = values.user_values.get();
    value.map_or_else(Vec::new, |Descriptor(bytes)| bytes.clone())
}

pub(crate) fn put(values: &mut ExtensionValues, descriptor: &[u8]) {
    if !descriptor.is_empty() {
        values.user_values.set(Descriptor(descriptor.to_vec()));
    }
}
