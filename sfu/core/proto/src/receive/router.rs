//! Finds the track and layer that a received packet belongs to (RFC 8843, section 9.2; RFC 8852).
//!
//! A packet is known by its SSRC. An SSRC is learnt from the description, from the MID and RID
//! header extensions, or, for peers without extensions, from a payload type that only one section
//! has. Each layer of a section has one place for a media SSRC and one for its RTX SSRC, so an
//! SSRC that is learnt for a taken place replaces the one there, and a flood of SSRCs takes no
//! memory. What is told by the payload type alone does so only if nothing better is heard there: the
//! SSRC of the description may never come (FFmpeg and gateways change theirs).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use slab::Slab;

use super::section::{PayloadTypes, Section, SectionError};
use crate::api::{Layer, MAX_LAYERS, Mid, ReceiveCodec, Rid, Ssrc, TrackId};

/// Most SSRCs of a transport. A new one beyond these takes the place of the one that has been silent for
/// longest, or is refused if none is.
const MAX_SOURCES: usize = 96;
/// An SSRC that has not been heard for so long has most likely been given up.
const SILENT_AFTER: Duration = Duration::from_secs(10);
/// One that has been silent for so long gives way to another one in its place.
const GIVES_WAY_AFTER: Duration = Duration::from_secs(2);

/// Where a packet belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Key of the section, as `add_section` returned it.
    pub section: usize,
    pub track: TrackId,
    pub layer: Layer,
    /// A retransmission (RFC 4588) of a packet of this layer.
    pub rtx: bool,
    /// Key of the layer's stream: small, unique in the transport while the section lives, and the
    /// same for media and retransmissions.
    pub stream: usize,
    /// The packet's codec, or that of the retransmitted packet. `None` for a payload type that the
    /// section does not have: the packet takes up a number of a stream that is known, and no more.
    pub codec: Option<ReceiveCodec>,
    /// First packet of this media SSRC on this stream: what was known of the stream is of another
    /// SSRC.
    pub new_source: bool,
}

/// What an SSRC stands for.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meaning {
    pub track: TrackId,
    pub layer: Layer,
    pub rtx: bool,
    pub stream: usize,
}

/// What a removed section had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    pub section: usize,
    pub streams: Vec<usize>,
    pub ssrcs: Vec<Ssrc>,
}

/// Sections of a transport and the SSRCs that feed them.
#[derive(Debug)]
pub struct Router {
    sections: Slab<Entry>,
    by_mid: BTreeMap<Mid, usize>,
    by_payload_type: [Owner; 128],
    streams: Slab<Place>,
    /// Ascending by SSRC.
    sources: Vec<(Ssrc, Binding)>,
}

#[derive(Debug)]
struct Entry {
    section: Section,
    payload_types: PayloadTypes,
    /// Stream of each layer.
    streams: Vec<usize>,
}

/// Which section a payload type tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Nobody,
    Section(usize),
    Several,
}

/// The SSRCs of one layer.
#[derive(Debug)]
struct Place {
    section: usize,
    layer: Layer,
    media: Option<Ssrc>,
    rtx: Option<Ssrc>,
}

impl Place {
    fn slot(&mut self, rtx: bool) -> &mut Option<Ssrc> {
        if rtx { &mut self.rtx } else { &mut self.media }
    }
}

#[derive(Debug, Clone, Copy)]
struct Binding {
    stream: usize,
    rtx: bool,
    /// By nothing better than the payload type.
    guessed: bool,
    /// When its latest packet has come.
    heard_at: Option<Instant>,
}

impl Entry {
    /// The layer that an identifier names; without one, the only layer.
    fn layer_of(&self, rid: Option<Rid>) -> Option<usize> {
        match rid {
            Some(rid) if !self.section.rids.is_empty() => {
                self.section.rids.iter().position(|known| *known == rid)
            }
            _ => (self.streams.len() == 1).then_some(0),
        }
    }
}

impl Default for Router {
    fn default() -> Self {
        Self {
            sections: Slab::new(),
            by_mid: BTreeMap::new(),
            by_payload_type: [Owner::Nobody; 128],
            streams: Slab::new(),
            sources: Vec::new(),
        }
    }
}

impl Router {
    /// Adds a section and the SSRCs that it declares. A declared SSRC that another section has
    /// already stays there. Returns the section's key.
    pub fn add_section(&mut self, section: Section) -> Result<usize, SectionError> {
        let layers = section.layers();
        if layers > MAX_LAYERS {
            return Err(SectionError::TooManyLayers);
        }
        if self.by_mid.contains_key(&section.mid) {
            return Err(SectionError::MidTaken);
        }
        if self.key_of(section.track).is_some() {
            return Err(SectionError::TrackTaken);
        }
        let key = self.sections.vacant_key();
        let streams: Vec<usize> = (0..layers)
            .map(|layer| {
                self.streams.insert(Place {
                    section: key,
                    layer: Layer(layer as u8),
                    media: None,
                    rtx: None,
                })
            })
            .collect();
        for (&stream, &(media, rtx)) in streams.iter().zip(&section.ssrcs) {
            for (ssrc, rtx) in [(Some(media), false), (rtx, true)] {
                let Some(ssrc) = ssrc.filter(|ssrc| self.find(*ssrc).is_err()) else {
                    continue;
                };
                self.bind(None, ssrc, Binding::new(stream, rtx, false));
            }
        }
        self.by_mid.insert(section.mid, key);
        self.sections.insert(Entry {
            payload_types: PayloadTypes::new(&section.codecs),
            section,
            streams,
        });
        self.index_payload_types();
        Ok(key)
    }

    /// Removes the track's section with everything learnt for it.
    pub fn remove_section(&mut self, track: TrackId) -> Option<Removed> {
        let key = self.key_of(track)?;
        let entry = self.sections.try_remove(key)?;
        self.by_mid.remove(&entry.section.mid);
        for &stream in &entry.streams {
            self.streams.try_remove(stream);
        }
        let streams = &self.streams;
        let has_gone = |it: &mut (Ssrc, Binding)| !streams.contains(it.1.stream);
        let gone = self.sources.extract_if(.., has_gone);
        let ssrcs = gone.map(|(ssrc, _)| ssrc).collect();
        self.index_payload_types();
        Some(Removed {
            section: key,
            streams: entry.streams,
            ssrcs,
        })
    }

    fn key_of(&self, track: TrackId) -> Option<usize> {
        self.sections
            .iter()
            .find(|(_, entry)| entry.section.track == track)
            .map(|(key, _)| key)
    }

    fn index_payload_types(&mut self) {
        for (payload_type, owner) in (0..).zip(&mut self.by_payload_type) {
            let mut keys = self
                .sections
                .iter()
                .filter(|(_, entry)| entry.payload_types.get(payload_type).is_some())
                .map(|(key, _)| key);
            *owner = match (keys.next(), keys.next()) {
                (None, _) => Owner::Nobody,
                (Some(key), None) => Owner::Section(key),
                (Some(_), Some(_)) => Owner::Several,
            };
        }
    }

    pub fn section(&self, key: usize) -> Option<&Section> {
        self.sections.get(key).map(|entry| &entry.section)
    }

    /// Key of the stream of a section's layer.
    #[cfg(test)]
    pub(super) fn stream(&self, section: usize, layer: Layer) -> Option<usize> {
        let streams = &self.sections.get(section)?.streams;
        streams.get(usize::from(layer.0)).copied()
    }

    /// The media SSRC that feeds a stream.
    #[cfg(test)]
    pub(super) fn media_ssrc(&self, stream: usize) -> Option<Ssrc> {
        self.streams.get(stream)?.media
    }

    /// What a known SSRC stands for.
    #[cfg(test)]
    pub(super) fn source(&self, ssrc: Ssrc) -> Option<Meaning> {
        let (_, binding) = *self.sources.get(self.find(ssrc).ok()?)?;
        let place = self.streams.get(binding.stream)?;
        Some(Meaning {
            track: self.sections.get(place.section)?.section.track,
            layer: place.layer,
            rtx: binding.rtx,
            stream: binding.stream,
        })
    }

    /// Whether an SSRC is in use, or may come into it.
    pub fn is_in_use(&self, now: Instant, ssrc: Ssrc) -> bool {
        let known = self.find(ssrc).ok().and_then(|at| self.sources.get(at));
        known.is_some_and(|(_, binding)| !binding.is_silent(now, SILENT_AFTER))
    }

    /// How many SSRCs are known.
    #[cfg(test)]
    pub(super) fn source_count(&self) -> usize {
        self.sources.len()
    }

    /// Finds where a packet belongs, and learns its SSRC. `None` if it cannot be told, if its
    /// payload type is not one of its section, or if the transport has too many SSRCs.
    pub fn route(
        &mut self,
        now: Instant,
        ssrc: Ssrc,
        payload_type: u8,
        mid: Option<Mid>,
        rid: Option<Rid>,
        repaired_rid: Option<Rid>,
    ) -> Option<Route> {
        let known = self.find(ssrc).ok();
        if let Some(at) = known
            && self.agrees(at, mid, rid, repaired_rid)
        {
            return self.route_known(now, at, payload_type);
        }
        let key = match mid {
            Some(mid) => *self.by_mid.get(&mid)?,
            None => match known.and_then(|at| self.section_of(at)) {
                Some(key) => key,
                None => self.guess(payload_type)?,
            },
        };
        let entry = self.sections.get(key)?;
        let (_, rtx) = entry.payload_types.get(payload_type)?;
        let layer = entry.layer_of(if rtx { repaired_rid.or(rid) } else { rid })?;
        let stream = *entry.streams.get(layer)?;
        let guessed = mid.or(rid).or(repaired_rid).is_none();
        let at = self.bind(Some(now), ssrc, Binding::new(stream, rtx, guessed))?;
        self.route_known(now, at, payload_type)
    }

    fn find(&self, ssrc: Ssrc) -> Result<usize, usize> {
        self.sources
            .binary_search_by_key(&ssrc, |&(known, _)| known)
    }

    fn section_of(&self, at: usize) -> Option<usize> {
        let (_, binding) = self.sources.get(at)?;
        Some(self.streams.get(binding.stream)?.section)
    }

    /// Whether a packet's extensions do not contradict what its SSRC was learnt as. They win
    /// where they do: a description's order of SSRCs may not be that of its layers.
    fn agrees(
        &self,
        at: usize,
        mid: Option<Mid>,
        rid: Option<Rid>,
        repaired_rid: Option<Rid>,
    ) -> bool {
        let Some(place) = self
            .sources
            .get(at)
            .and_then(|(_, binding)| self.streams.get(binding.stream))
        else {
            return false;
        };
        let Some(Entry { section, .. }) = self.sections.get(place.section) else {
            return false;
        };
        mid.is_none_or(|mid| mid == section.mid)
            && repaired_rid.or(rid).is_none_or(|rid| {
                section.rids.is_empty()
                    || section.rids.get(usize::from(place.layer.0)) == Some(&rid)
            })
    }

    fn route_known(&mut self, now: Instant, at: usize, payload_type: u8) -> Option<Route> {
        let (_, binding) = self.sources.get_mut(at)?;
        let place = self.streams.get(binding.stream)?;
        let entry = self.sections.get(place.section)?;
        let codec = match entry.payload_types.get(payload_type) {
            Some((codec, rtx)) if rtx == binding.rtx => entry.section.codecs.get(codec).copied(),
            None if !binding.rtx && binding.heard_at.is_some() => None,
            _ => return None,
        };
        let rtx = binding.rtx;
        let new_source = !rtx && binding.heard_at.is_none();
        binding.heard_at = Some(now);
        Some(Route {
            section: place.section,
            track: entry.section.track,
            layer: place.layer,
            rtx,
            stream: binding.stream,
            codec,
            new_source,
        })
    }

    /// The section of a packet that has no MID.
    fn guess(&self, payload_type: u8) -> Option<usize> {
        match self.by_payload_type.get(usize::from(payload_type))? {
            Owner::Section(key) => Some(*key),
            Owner::Nobody | Owner::Several => None,
        }
    }

    /// Puts `ssrc` into its place, out of any other and instead of the SSRC there. Refused if
    /// that would be one too many, or a guess against better knowledge. Returns its index in
    /// `sources`. Without `now` nothing has to give way.
    fn bind(&mut self, now: Option<Instant>, ssrc: Ssrc, binding: Binding) -> Option<usize> {
        let occupant = *self.streams.get_mut(binding.stream)?.slot(binding.rtx);
        let displaced = occupant.and_then(|occupant| self.find(occupant).ok());
        let gives_way = |known: &Binding| {
            let is_silent = |now| known.is_silent(now, GIVES_WAY_AFTER);
            known.guessed || known.heard_at.is_none() || now.is_some_and(is_silent)
        };
        if binding.guessed
            && let Some((_, known)) = displaced.and_then(|at| self.sources.get(at))
            && !gives_way(known)
        {
            return None;
        }
        let known = self.find(ssrc).ok();
        if displaced.is_none() && known.is_none() && self.sources.len() >= MAX_SOURCES {
            let silent = self.longest_silent(now?)?;
            self.unbind(silent);
        }
        for ssrc in [occupant, known.map(|_| ssrc)].into_iter().flatten() {
            self.unbind(ssrc);
        }
        *self.streams.get_mut(binding.stream)?.slot(binding.rtx) = Some(ssrc);
        let at = self.find(ssrc).unwrap_or_else(|at| {
            self.sources.insert(at, (ssrc, binding));
            at
        });
        Some(at)
    }

    fn longest_silent(&self, now: Instant) -> Option<Ssrc> {
        let heard = self
            .sources
            .iter()
            .filter(|(_, it)| it.is_silent(now, SILENT_AFTER));
        let longest = heard.min_by_key(|(_, it)| it.heard_at)?;
        Some(longest.0)
    }

    fn unbind(&mut self, ssrc: Ssrc) {
        let Ok(at) = self.find(ssrc) else {
            return;
        };
        let (_, binding) = self.sources.remove(at);
        if let Some(place) = self.streams.get_mut(binding.stream) {
            *place.slot(binding.rtx) = None;
        }
    }
}

impl Binding {
    fn new(stream: usize, rtx: bool, guessed: bool) -> Self {
        Self {
            stream,
            rtx,
            guessed,
            heard_at: None,
        }
    }

    /// It has been heard, but not for so long.
    fn is_silent(&self, now: Instant, so_long: Duration) -> bool {
        let silence = self.heard_at.map(|at| now.saturating_duration_since(at));
        silence.is_some_and(|silence| silence >= so_long)
    }
}
