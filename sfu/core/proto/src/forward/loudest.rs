//! Which open microphones of a room are forwarded: at most so many, and the loudest ones.
//!
//! A rank is the loudest a microphone has been, with a bonus for having been so lately: 20 dB for
//! every second. So ranks fade against each other without being touched, and comparing two of them
//! means the same at any time. To others they are told as what is left of them (`Loudness`). A microphone that becomes loud takes its place with
//! the packet that says so, from the one of the lowest rank, if it is louder by a margin.
//!
//! Every shard decides on the tracks that it receives. Of the others' it knows the ranks of those
//! that are forwarded, as old as the last message; until the next one both sides of an exchange may
//! be forwarded. With fewer microphones than places all are, and ranks decide nothing.

use std::time::Duration;

use slab::Slab;

use crate::api::{Loudness, NeighbourId};

/// Thousandths of a decibel, counted from silence at this shard's epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(i64);

/// What a microphone must be louder by to take the place of another: less would let two that are
/// equally loud take turns. With the fading it means that who begins to speak as loudly as others
/// do waits until one of them has been silent for 150 ms.
const MARGIN: i64 = 3_000;
/// How fast loudness is forgotten, in thousandths of a decibel a millisecond.
const FADE: i64 = 20;
/// Quieter frames, in -dBov, are background that nobody misses, and raise no rank.
const BACKGROUND: u8 = 60;

impl Rank {
    /// A frame of `level` -dBov at `since_epoch`; `None` for background.
    pub fn of(level: u8, since_epoch: Duration) -> Option<Self> {
        let loudness = 127 - i64::from(level.min(127));
        let age = since_epoch.as_millis() as i64 * FADE;
        (level <= BACKGROUND).then_some(Self(loudness * 1_000 + age))
    }

    /// What another shard has told at `since_epoch`.
    pub fn from_loudness(loudness: Loudness, since_epoch: Duration) -> Self {
        // Nothing is louder than full scale, or has been silent for more than a year.
        let left = loudness.0.clamp(-(1 << 40), 127_000);
        Self(left + since_epoch.as_millis() as i64 * FADE)
    }

    /// What is left of it at `since_epoch`.
    pub fn loudness(self, since_epoch: Duration) -> Loudness {
        Loudness(self.0 - since_epoch.as_millis() as i64 * FADE)
    }
}

/// What becomes of a packet of a microphone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub forwarded: bool,
    /// It was not forwarded until this packet: what came just before may follow yet.
    pub begins: bool,
    /// Counts the stretches in which it is forwarded, the present or the next one included.
    pub stretch: u16,
}

impl Standing {
    /// Of a track that is always forwarded.
    pub const ALWAYS: Self = Self {
        forwarded: true,
        begins: false,
        stretch: 0,
    };
}

#[derive(Debug, Clone, Copy)]
struct Member {
    rank: Rank,
    chosen: bool,
    stretch: u16,
}

/// The microphones of one room, as one shard sees them.
#[derive(Debug)]
pub struct LoudestTracks {
    places: usize,
    members: Slab<Member>,
    /// Members that are forwarded.
    chosen: Vec<usize>,
    /// Ranks of what the other shards forward.
    others: Vec<(NeighbourId, Vec<Rank>)>,
    /// No rank below this can take a place: spares looking for the lowest one.
    bar: Rank,
    changed: bool,
}

impl LoudestTracks {
    pub fn new(places: usize) -> Self {
        Self {
            places,
            members: Slab::new(),
            chosen: Vec::new(),
            others: Vec::new(),
            bar: Rank(i64::MIN),
            changed: false,
        }
    }

    /// Adds a microphone that this shard receives; returns its key.
    pub fn join(&mut self) -> usize {
        self.members.insert(Member {
            rank: Rank(0),
            chosen: false,
            stretch: 0,
        })
    }

    pub fn leave(&mut self, key: usize) {
        if self.members.try_remove(key).is_some_and(|it| it.chosen) {
            self.chosen.retain(|chosen| *chosen != key);
            self.bar = Rank(i64::MIN);
            self.changed = true;
        }
    }

    /// Nothing is known of this room, here or elsewhere.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.others.is_empty()
    }

    /// A packet of a microphone has come. `rank` is `None` for background.
    pub fn hear(&mut self, key: usize, rank: Option<Rank>) -> Standing {
        let is_full = self.is_full();
        let Some(member) = self.members.get_mut(key) else {
            return Standing::ALWAYS;
        };
        let louder = rank.filter(|rank| *rank > member.rank);
        member.rank = louder.unwrap_or(member.rank);
        let (rank, stretch) = (member.rank, member.stretch);
        if member.chosen {
            self.changed |= is_full && louder.is_some();
            return Standing {
                forwarded: true,
                begins: false,
                stretch,
            };
        }
        let begins = !is_full || (louder.is_some() && rank >= self.bar && self.take_place(rank));
        if begins {
            self.members[key].chosen = true;
            self.chosen.push(key);
            self.changed = true;
        }
        Standing {
            forwarded: begins,
            begins,
            stretch,
        }
    }

    /// Another shard forwards microphones of these ranks, instead of what it told before.
    pub fn set_others(&mut self, from: NeighbourId, ranks: impl Iterator<Item = Rank>) {
        self.others.retain(|(known, _)| *known != from);
        let ranks: Vec<Rank> = ranks.take(self.places).collect();
        if !ranks.is_empty() {
            self.others.push((from, ranks));
        }
        self.bar = Rank(i64::MIN);
        while self.forwarded() > self.places && self.give_up_lowest(None) {}
    }

    /// Ranks of what this shard forwards, if the other ones should be told.
    pub fn take_changes(&mut self) -> Option<impl Iterator<Item = Rank>> {
        let changed = std::mem::take(&mut self.changed);
        changed.then(|| {
            self.chosen
                .iter()
                .filter_map(|key| self.members.get(*key))
                .map(|it| it.rank)
        })
    }

    /// There is something to tell.
    pub fn has_changed(&self) -> bool {
        self.changed
    }

    fn forwarded(&self) -> usize {
        let others: usize = self.others.iter().map(|(_, ranks)| ranks.len()).sum();
        self.chosen.len() + others
    }

    fn is_full(&self) -> bool {
        self.forwarded() >= self.places
    }

    /// Frees the lowest place for `rank`, if it is that much louder.
    fn take_place(&mut self, rank: Rank) -> bool {
        self.give_up_lowest(Some(rank))
    }

    /// Frees the place of the lowest rank; with a `challenger` only if that is louder by the
    /// margin. Another shard's place is only written off: its owner learns of it by message.
    fn give_up_lowest(&mut self, challenger: Option<Rank>) -> bool {
        let own = self.chosen.iter().enumerate();
        let own = own.map(|(at, key)| (self.members[*key].rank, None, at));
        let others = self.others.iter().enumerate();
        let others = others.flat_map(|(shard, (_, ranks))| {
            let ranks = ranks.iter().enumerate();
            ranks.map(move |(at, rank)| (*rank, Some(shard), at))
        });
        let Some((lowest, shard, at)) = own.chain(others).min_by_key(|(rank, ..)| *rank) else {
            return false;
        };
        if challenger.is_some_and(|rank| rank.0 < lowest.0 + MARGIN) {
            self.bar = Rank(lowest.0 + MARGIN);
            return false;
        }
        match shard {
            Some(shard) => {
                self.others[shard].1.swap_remove(at);
            }
            None => {
                let member = &mut self.members[self.chosen.swap_remove(at)];
                member.chosen = false;
                member.stretch = member.stretch.wrapping_add(1);
                self.changed = true;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPEECH: u8 = 25;

    fn rank(level: u8, at_ms: u64) -> Option<Rank> {
        Rank::of(level, Duration::from_millis(at_ms))
    }

    fn room(places: usize, microphones: usize) -> (LoudestTracks, Vec<usize>) {
        let mut room = LoudestTracks::new(places);
        let keys = (0..microphones).map(|_| room.join()).collect();
        (room, keys)
    }

    #[test]
    fn a_small_room_is_heard_whole() {
        let (mut room, keys) = room(3, 3);
        for ms in (0..5_000).step_by(20) {
            for (key, level) in keys.iter().zip([0, 40, 127]) {
                let standing = room.hear(*key, rank(level, ms));
                assert!(standing.forwarded);
                assert_eq!((standing.begins, standing.stretch), (ms == 0, 0));
            }
        }
    }

    #[test]
    fn who_begins_to_speak_is_forwarded_at_once() {
        let (mut room, keys) = room(2, 3);
        for ms in (0..2_000).step_by(20) {
            room.hear(keys[0], rank(SPEECH, ms));
            room.hear(keys[1], rank(127, ms));
            assert!(!room.hear(keys[2], rank(127, ms)).forwarded, "no place");
        }
        let first = room.hear(keys[2], rank(SPEECH, 2_000));
        assert!(first.forwarded && first.begins);
        let silenced = room.hear(keys[1], rank(127, 2_000));
        assert_eq!((silenced.forwarded, silenced.stretch), (false, 1));
        assert!(room.hear(keys[0], rank(SPEECH, 2_000)).forwarded);
        assert!(!room.hear(keys[2], rank(SPEECH, 2_020)).begins);
    }

    #[test]
    fn equal_voices_do_not_take_turns() {
        let (mut room, keys) = room(2, 4);
        let mut beginnings = 0;
        for ms in (0..60_000u64).step_by(20) {
            for (number, key) in keys.iter().enumerate() {
                let wave = (ms / 20 + number as u64 * 3) % 5;
                let standing = room.hear(*key, rank(SPEECH + wave as u8, ms));
                beginnings += usize::from(standing.begins);
            }
        }
        assert!(beginnings <= 4, "{beginnings} in a minute");
    }

    #[test]
    fn a_voice_that_has_gone_silent_loses_its_place_to_a_quieter_one() {
        let (mut room, keys) = room(1, 2);
        assert!(room.hear(keys[0], rank(10, 0)).forwarded);
        let taken = (20..10_000)
            .step_by(20)
            .find(|ms| room.hear(keys[1], rank(40, *ms)).forwarded)
            .expect("in the end");
        assert!((1_500..1_800).contains(&taken), "{taken} ms");
    }

    #[test]
    fn a_free_place_is_taken_by_the_next_packet() {
        let (mut room, keys) = room(1, 2);
        room.hear(keys[0], rank(SPEECH, 0));
        assert!(!room.hear(keys[1], rank(SPEECH, 0)).forwarded);
        room.leave(keys[0]);
        assert!(room.hear(keys[1], None).begins);
    }

    #[test]
    fn shards_agree_on_the_loudest() {
        let (mut here, own) = room(2, 2);
        let (mut there, theirs) = room(2, 2);
        let exchange = |here: &mut LoudestTracks, there: &mut LoudestTracks| {
            let told = |it: &mut LoudestTracks| it.take_changes().map(Iterator::collect::<Vec<_>>);
            let (a, b) = (told(here), told(there));
            b.iter()
                .for_each(|ranks| here.set_others(NeighbourId(1), ranks.iter().copied()));
            a.iter()
                .for_each(|ranks| there.set_others(NeighbourId(0), ranks.iter().copied()));
        };
        for ms in (0..1_000).step_by(20) {
            here.hear(own[0], rank(20, ms));
            here.hear(own[1], rank(58, ms));
            there.hear(theirs[0], rank(25, ms));
            there.hear(theirs[1], rank(59, ms));
            if ms % 40 == 0 {
                exchange(&mut here, &mut there);
            }
        }
        assert!(here.hear(own[0], rank(20, 1_000)).forwarded);
        assert!(there.hear(theirs[0], rank(25, 1_000)).forwarded);
        assert!(!here.hear(own[1], rank(58, 1_000)).forwarded);
        assert!(!there.hear(theirs[1], rank(59, 1_000)).forwarded);
        // The last one here leaves: both places are there, once that has been told.
        here.leave(own[0]);
        here.leave(own[1]);
        exchange(&mut here, &mut there);
        assert!(here.take_changes().is_none() && here.members.is_empty());
        assert!(there.hear(theirs[1], rank(59, 1_020)).forwarded);
    }

    proptest! {
        #[test]
        fn no_more_are_forwarded_than_there_are_places(
            frames in prop::collection::vec((0usize..8, 0u8..=127, any::<bool>()), 1..400),
        ) {
            let (mut room, keys) = room(3, 8);
            room.set_others(NeighbourId(1), [Rank(90_000)].into_iter());
            for (ms, (who, level, gone)) in frames.into_iter().enumerate() {
                room.hear(keys[who], rank(level, ms as u64 * 5));
                if gone && who == 7 {
                    room.set_others(NeighbourId(1), std::iter::empty());
                }
                prop_assert!(room.forwarded() <= 3);
                prop_assert_eq!(
                    room.members.iter().filter(|(_, it)| it.chosen).count(),
                    room.chosen.len()
                );
            }
        }
    }

    #[test]
    fn loudness_means_the_same_on_a_shard_with_another_epoch() {
        let told = rank(SPEECH, 5_000).expect("loud");
        let loudness = told.loudness(Duration::from_secs(6));
        // 102 dB above silence, a second ago.
        assert_eq!(loudness, Loudness(82_000));
        let there = Rank::from_loudness(loudness, Duration::from_secs(1_000));
        let same = rank(SPEECH, 999_000).expect("loud");
        assert_eq!(there, same);
        let wild = Rank::from_loudness(Loudness(i64::MAX), Duration::from_secs(1));
        assert_eq!(Some(wild), rank(0, 1_000));
    }
}
