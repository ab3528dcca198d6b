//! Streams as libwebrtc makes them (L3T3, L3T3_KEY, L1T3), and what a viewer gets of them.

use super::*;

/// One frame of three spatial and three temporal layers.
#[derive(Debug, Clone, Copy)]
struct Frame {
    number: u16,
    spatial: u8,
    temporal: u8,
    key: bool,
}

/// How spatial layers depend on each other outside of key frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// L3T3: each needs the one below.
    Full,
    /// L3T3_KEY: none needs another.
    Key,
}

/// A stream, frame by frame.
struct Stream {
    mode: Mode,
    number: u16,
    picture: usize,
    /// Last frame of each chain.
    chains: [u16; 3],
}

impl Stream {
    fn new(mode: Mode) -> Self {
        Self {
            mode,
            number: 65_500,
            picture: 0,
            chains: [0; 3],
        }
    }

    /// The three frames of the next picture.
    fn picture(&mut self, key: bool) -> Vec<(Frame, ScalableFrame)> {
        if key {
            self.picture = 0;
        }
        let temporal = [0, 2, 1, 2][self.picture % 4];
        self.picture += 1;
        (0..3)
            .map(|spatial| self.frame(spatial, temporal, key))
            .collect()
    }

    fn frame(&mut self, spatial: u8, temporal: u8, key: bool) -> (Frame, ScalableFrame) {
        let frame = Frame {
            number: self.number,
            spatial,
            temporal,
            key,
        };
        self.number = self.number.wrapping_add(1);
        let mut targets = FrameTargets {
            frame_number: frame.number,
            active: 0x1ff,
            has_chains: true,
            count: 9,
            ..FrameTargets::default()
        };
        for chain in 0..3u8 {
            let begins = key && spatial == 0;
            let last = self.chains[usize::from(chain)];
            targets.chain_diffs[usize::from(chain)] = if begins {
                0
            } else {
                frame.number.wrapping_sub(last) as u8
            };
        }
        for target in 0..9u8 {
            let (s, t) = (target / 3, target % 3);
            targets.layers |= u64::from(s << 2 | t) << (4 * target);
            targets.protected_by |= u32::from(s) << (2 * target);
            let indication = self.indication(&frame, s, t);
            targets.indications |= u32::from(indication) << (2 * target);
        }
        if temporal == 0 {
            for chain in spatial..3 {
                if chain == spatial || key || self.mode == Mode::Full {
                    self.chains[usize::from(chain)] = frame.number;
                }
            }
        }
        let scalable = ScalableFrame {
            spatial_id: spatial,
            temporal_id: temporal,
            starts: true,
            ends: true,
            dependencies: Dependencies::Described(targets),
        };
        (frame, scalable)
    }

    fn indication(&self, frame: &Frame, s: u8, t: u8) -> u8 {
        let alone = self.mode == Mode::Key && !frame.key;
        if s < frame.spatial || t < frame.temporal || (alone && s != frame.spatial) {
            return NOT_PRESENT;
        }
        match (s == frame.spatial, t == frame.temporal && t > 0) {
            (true, true) => 1,
            (true, false) => SWITCH,
            (false, _) if frame.key => SWITCH,
            (false, _) => 3,
        }
    }
}

/// A viewer that checks that it can decode all that it gets.
struct Viewer {
    layers: ScalableLayers,
    mode: Mode,
    /// By spatial layer: temporal layers that were got since the last frame below.
    got: Vec<Frame>,
    endings: usize,
}

impl Viewer {
    fn new(mode: Mode, spatial: u8, temporal: u8) -> Self {
        let mut layers = ScalableLayers::new(spatial, temporal);
        layers.start(0);
        Self {
            layers,
            mode,
            got: Vec::new(),
            endings: 0,
        }
    }

    fn watch(&mut self, stream: &mut Stream, pictures: usize, key_first: bool) -> Vec<Frame> {
        let before = self.got.len();
        self.endings = 0;
        for n in 0..pictures {
            for (frame, scalable) in stream.picture(key_first && n == 0) {
                if let Some(admitted) = self.layers.admits(0, 0, Some(&scalable)) {
                    self.check(&frame);
                    self.got.push(frame);
                    self.endings += usize::from(admitted.ends_picture);
                }
            }
        }
        self.got[before..].to_vec()
    }

    /// What the frame refers to has been got: the same spatial layer's last frame of each lower
    /// temporal layer since the key frame, and the spatial layer below.
    fn check(&self, frame: &Frame) {
        let below = frame.number.wrapping_sub(1);
        if frame.spatial > 0 && (frame.key || self.mode == Mode::Full) {
            assert!(
                self.got.iter().any(|f| f.number == below),
                "{frame:?}: below"
            );
        }
        if frame.key {
            return;
        }
        // The base frame of this layer is 3, 6 or 9 frame numbers back, or 12 for the next base.
        let back = match frame.temporal {
            0 => 12,
            1 => 6,
            _ => 3,
        };
        let reference = frame.number.wrapping_sub(back);
        assert!(
            self.got.iter().any(|f| f.number == reference),
            "{frame:?}: {reference} is missing"
        );
    }
}

#[test]
fn a_low_target_is_a_ninth_of_the_frames_and_ends_each_picture() {
    for mode in [Mode::Full, Mode::Key] {
        for (spatial, temporal, expected) in [(0, 255, 40), (0, 0, 10), (0, 1, 20)] {
            let mut viewer = Viewer::new(mode, spatial, temporal);
            let got = viewer.watch(&mut Stream::new(mode), 40, true);
            assert_eq!(got.len(), expected, "{mode:?} {spatial} {temporal}");
            assert!(got.iter().all(|f| f.spatial == 0 && f.temporal <= temporal));
            assert_eq!(viewer.endings, expected);
        }
    }
}

#[test]
fn the_top_target_leaves_out_what_it_does_not_need() {
    let mut viewer = Viewer::new(Mode::Full, 255, 255);
    assert_eq!(
        viewer.watch(&mut Stream::new(Mode::Full), 40, true).len(),
        120
    );
    let mut viewer = Viewer::new(Mode::Key, 255, 255);
    let got = viewer.watch(&mut Stream::new(Mode::Key), 40, true);
    assert_eq!(got.len(), 3 + 39, "lower layers only in the key frame");
    assert_eq!(viewer.endings, 40);
}

#[test]
fn full_svc_goes_down_at_once_and_up_with_a_key_frame() {
    let mut stream = Stream::new(Mode::Full);
    let mut viewer = Viewer::new(Mode::Full, 2, 2);
    viewer.watch(&mut stream, 8, true);
    viewer.layers.set_max(0, 2);
    assert_eq!(viewer.watch(&mut stream, 8, false).len(), 8);
    assert!(!viewer.layers.needs_key_frame());
    viewer.layers.set_max(2, 2);
    assert_eq!(viewer.watch(&mut stream, 8, false).len(), 8, "not yet");
    assert!(viewer.layers.needs_key_frame());
    assert_eq!(viewer.watch(&mut stream, 8, true).len(), 24);
    assert!(!viewer.layers.needs_key_frame());
}

#[test]
fn key_svc_needs_a_key_frame_both_ways() {
    let mut stream = Stream::new(Mode::Key);
    let mut viewer = Viewer::new(Mode::Key, 2, 2);
    viewer.watch(&mut stream, 8, true);
    viewer.layers.set_max(0, 2);
    let waiting = viewer.watch(&mut stream, 8, false);
    assert!(waiting.iter().all(|f| f.spatial == 2), "goes on meanwhile");
    assert!(viewer.layers.needs_key_frame());
    let low = viewer.watch(&mut stream, 8, true);
    assert!(low.iter().all(|f| f.spatial == 0));
    assert!(!viewer.layers.needs_key_frame());
}

#[test]
fn temporal_layers_change_without_a_key_frame() {
    for mode in [Mode::Full, Mode::Key] {
        let mut stream = Stream::new(mode);
        let mut viewer = Viewer::new(mode, 2, 0);
        viewer.watch(&mut stream, 9, true);
        viewer.layers.set_max(2, 2);
        viewer.watch(&mut stream, 8, false);
        assert!(!viewer.layers.needs_key_frame());
        let all = viewer.watch(&mut stream, 8, false);
        assert!(all.iter().any(|f| f.temporal == 2));
        viewer.layers.set_max(2, 1);
        viewer.watch(&mut stream, 4, false);
        let half = viewer.watch(&mut stream, 8, false);
        assert!(half.iter().all(|f| f.temporal <= 1));
    }
}

#[test]
fn a_target_that_is_not_produced_any_more_gives_way() {
    let mut stream = Stream::new(Mode::Full);
    let mut viewer = Viewer::new(Mode::Full, 2, 2);
    viewer.watch(&mut stream, 8, true);
    let mut ended = 0;
    for _ in 0..8 {
        for (_, mut frame) in stream.picture(false).into_iter().take(2) {
            if let Dependencies::Described(targets) = &mut frame.dependencies {
                targets.active = 0x3f;
            }
            let admitted = viewer.layers.admits(0, 0, Some(&frame));
            ended += usize::from(admitted.is_some_and(|it| it.ends_picture));
        }
    }
    assert!(ended >= 5, "pictures end with the second layer: {ended}");
}

#[test]
fn a_late_packet_shares_its_frames_fate() {
    let mut stream = Stream::new(Mode::Full);
    let mut layers = ScalableLayers::new(0, 2);
    layers.start(0);
    let first = stream.picture(true);
    assert!(layers.admits(0, 0, Some(&first[0].1)).is_some());
    assert!(layers.admits(1, 0, Some(&first[1].1)).is_none());
    layers.set_max(2, 2);
    for (_, frame) in stream.picture(true) {
        assert!(layers.admits(2, 3_000, Some(&frame)).is_some());
    }
    assert!(layers.admits(1, 0, Some(&first[1].1)).is_none());
    assert!(layers.admits(0, 0, Some(&first[0].1)).is_some());
    assert!(layers.admits(9, 0, None).is_none(), "nobody can place it");
}

#[test]
fn without_a_word_about_layers_everything_is_sent() {
    let mut layers = ScalableLayers::new(0, 0);
    layers.start(0);
    assert!(layers.admits(0, 0, None).is_some());
}

/// A picture by VP9's payload descriptor alone.
fn layered(spatial_id: u8, temporal_id: u8, key: bool) -> ScalableFrame {
    ScalableFrame {
        spatial_id,
        temporal_id,
        starts: true,
        ends: true,
        dependencies: Dependencies::Layered {
            temporal_switch: true,
            key,
        },
    }
}

#[test]
fn payload_descriptors_do_where_nothing_else_comes() {
    let mut layers = ScalableLayers::new(2, 2);
    layers.start(0);
    let mut sequence = 0;
    let mut picture = |layers: &mut ScalableLayers, temporal, key| {
        let mut sent = Vec::new();
        let timestamp = sequence as u32 * 1_000;
        for spatial in 0..3 {
            let frame = layered(spatial, temporal, key);
            let admitted = layers.admits(sequence, timestamp, Some(&frame));
            sent.extend(admitted.map(|it| (spatial, it.ends_picture)));
            sequence += 1;
        }
        sent
    };
    let all = vec![(0, false), (1, false), (2, true)];
    assert_eq!(picture(&mut layers, 0, true), all);
    layers.set_max(0, 1);
    assert_eq!(picture(&mut layers, 0, false), [(0, true)]);
    assert_eq!(picture(&mut layers, 2, false), []);
    assert_eq!(picture(&mut layers, 1, false), [(0, true)]);
    assert!(!layers.needs_key_frame());
    layers.set_max(2, 2);
    assert_eq!(picture(&mut layers, 0, false), [(0, true)], "no key frame");
    assert!(layers.needs_key_frame());
    assert_eq!(
        picture(&mut layers, 2, false),
        [(0, true)],
        "but more pictures"
    );
    assert_eq!(picture(&mut layers, 0, true), all);
    assert!(!layers.needs_key_frame());
}
