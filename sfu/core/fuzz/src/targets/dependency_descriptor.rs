//! A stream's dependency descriptors, one after the other: the structure of one gives the next its
//! meaning.

use kinguicall_proto::rtp::dependency_descriptor::{
    Descriptor, Indication, MAX_CHAINS, MAX_TARGETS, Reader, set_frame_number,
};

use crate::input::Input;

pub fn run(data: &[u8]) {
    let mut reader = Reader::default();
    let mut input = Input(data);
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        let value = input.short();
        let before = reader.clone();
        match reader.read(value) {
            None => {
                assert_eq!(reader.structure(), before.structure());
                assert_eq!(reader.active_targets(), before.active_targets());
            }
            Some(descriptor) => {
                check(&reader, value, &descriptor);
                renumber(&before, value, &descriptor);
            }
        }
    }
}

fn check(reader: &Reader, value: &[u8], descriptor: &Descriptor) {
    let structure = reader.structure().expect("a descriptor has a structure");
    let targets = structure.targets.len();
    assert!((1..=MAX_TARGETS).contains(&targets));
    assert!(usize::from(structure.chains) <= MAX_CHAINS);
    assert_eq!(u32::from(reader.active_targets()) >> targets, 0);
    for target in &structure.targets {
        assert!(target.spatial_id <= 3 && target.temporal_id <= 3);
        assert!(target.chain < structure.chains.max(1));
    }
    assert!(value.len() >= 3);
    assert!(descriptor.spatial_id <= 3 && descriptor.temporal_id <= 3);
    let beyond = &descriptor.indications[targets..];
    assert!(beyond.iter().all(|it| *it == Indication::NotPresent));
    let beyond = &descriptor.chain_diffs[usize::from(structure.chains)..];
    assert!(beyond.iter().all(|diff| *diff == 0));
}

/// A new number changes nothing else.
fn renumber(before: &Reader, value: &[u8], descriptor: &Descriptor) {
    let frame_number = descriptor.frame_number.wrapping_add(0x1234);
    let mut value = value.to_vec();
    set_frame_number(&mut value, frame_number);
    let expected = Descriptor {
        frame_number,
        ..*descriptor
    };
    assert_eq!(before.clone().read(&value), Some(expected));
}
