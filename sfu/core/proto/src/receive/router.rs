//! Finds the track and layer that a received packet belongs to (RFC 8843, section 9.2; RFC 8852).
//!
//! A packet is known by its SSRC. An SSRC is learnt from the description, from the MID and RID
//! header extensions, or, for peers without extensions, from a payload type that only one section
//! has. Each layer of a section has one place for a media SSRC and one for its RTX SSRC, so an
//! SSRC that is learnt for a taken place replaces the one there, and a flood of SSRCs takes no
//! memory. What is told by the payload type alone does so only if nothing better is heard there: the
//! SSRC of the description may never come (FFmpeg and gateways change theirs).

use std::collections::BTreeMap;
use std::time::Instant;

use slab::Slab;

use super::section::{PayloadTypes, Section, SectionError};
use super::sources::{Binding, Sources};
use crate::api::{Layer, MAX_LAYERS, Mid, ReceiveCodec, Rid, Ssrc, TrackId};

/// Where a packet belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Key of the section, as `add_section` returned it.
    pub section: usize,
    pub track: TrackId,
    pub layer: Layer,
    /// A retransmission (RFC 4588) of a packet of this layer.
    pub rtx: bool,
    /// The packet's codec, or that of the retransmitted packet. `None` for a payload type that the
    /// section does not have: the packet takes up a number of a stream that is known, and no more.
    pub codec: Option<ReceiveCodec>,
}

/// What an SSRC stands for.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meaning {
    pub track: TrackId,
    pub layer: Layer,
    pub rtx: bool,
}

/// Sections of a transport and the SSRCs that feed them.
#[derive(Debug)]
pub struct Router {
    sections: Slab<Entry>,
    by_mid: BTreeMap<Mid, usize>,
    by_payload_type: [Owner; 128],
    sources: Sources,
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
            sources: Sources::default(),
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
            .map(|layer| self.sources.add_place(key, Layer(layer as u8)))
            .collect();
        for (&stream, &(media, rtx)) in streams.iter().zip(&section.ssrcs) {
            for (ssrc, rtx) in [(Some(media), false), (rtx, true)] {
                let Some(ssrc) = ssrc.filter(|ssrc| self.sources.find(*ssrc).is_err()) else {
                    continue;
                };
                self.sources
                    .bind(None, ssrc, Binding::new(stream, rtx, false));
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

    /// Removes the track's section with everything learnt for it. Returns the SSRCs that fed it.
    pub fn remove_section(&mut self, track: TrackId) -> Option<Vec<Ssrc>> {
        let key = self.key_of(track)?;
        let entry = self.sections.try_remove(key)?;
        self.by_mid.remove(&entry.section.mid);
        let ssrcs = self.sources.remove_places(&entry.streams);
        self.index_payload_types();
        Some(ssrcs)
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

    /// The media SSRC that feeds the place of a packet.
    #[cfg(test)]
    pub(super) fn media_ssrc(&self, route: Route) -> Option<Ssrc> {
        let streams = &self.sections.get(route.section)?.streams;
        let place = *streams.get(usize::from(route.layer.0))?;
        self.sources.media_ssrc(place)
    }

    /// What a known SSRC stands for.
    #[cfg(test)]
    pub(super) fn source(&self, ssrc: Ssrc) -> Option<Meaning> {
        let (place, binding) = self.sources.get(self.sources.find(ssrc).ok()?)?;
        Some(Meaning {
            track: self.sections.get(place.section)?.section.track,
            layer: place.layer,
            rtx: binding.rtx,
        })
    }

    /// Whether an SSRC is in use, or may come into it.
    pub fn is_in_use(&self, now: Instant, ssrc: Ssrc) -> bool {
        self.sources.is_in_use(now, ssrc)
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
        let known = self.sources.find(ssrc).ok();
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
        let binding = Binding::new(stream, rtx, guessed);
        let at = self.sources.bind(Some(now), ssrc, binding)?;
        self.route_known(now, at, payload_type)
    }

    fn section_of(&self, at: usize) -> Option<usize> {
        let (place, _) = self.sources.get(at)?;
        Some(place.section)
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
        let Some((place, _)) = self.sources.get(at) else {
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
        let (place, binding) = self.sources.get_mut(at)?;
        let entry = self.sections.get(place.section)?;
        let codec = match entry.payload_types.get(payload_type) {
            Some((codec, rtx)) if rtx == binding.rtx => entry.section.codecs.get(codec).copied(),
            None if !binding.rtx && binding.heard_at.is_some() => None,
            _ => return None,
        };
        let rtx = binding.rtx;
        binding.heard_at = Some(now);
        Some(Route {
            section: place.section,
            track: entry.section.track,
            layer: place.layer,
            rtx,
            codec,
        })
    }

    /// The section of a packet that has no MID.
    fn guess(&self, payload_type: u8) -> Option<usize> {
        match self.by_payload_type.get(usize::from(payload_type))? {
            Owner::Section(key) => Some(*key),
            Owner::Nobody | Owner::Several => None,
        }
    }
}
