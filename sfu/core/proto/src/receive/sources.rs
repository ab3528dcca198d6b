//! Which SSRC feeds which place: each layer of a section has one for media and one for RTX, so that SSRCs
//! that are learnt replace each other, and a flood of them takes no memory.

use std::time::{Duration, Instant};

use slab::Slab;

use crate::api::{Layer, Ssrc};

/// Most SSRCs of a transport. A new one beyond these takes the place of the one that has been silent for
/// longest, or is refused if none is.
const MAX_SOURCES: usize = 96;
/// An SSRC that has not been heard for so long has most likely been given up.
const SILENT_AFTER: Duration = Duration::from_secs(10);
/// One that has been silent for so long gives way to another one in its place.
const GIVES_WAY_AFTER: Duration = Duration::from_secs(2);

/// The SSRCs of a transport, and the places that they feed.
#[derive(Debug, Default)]
pub(super) struct Sources {
    places: Slab<Place>,
    /// Ascending by SSRC.
    bindings: Vec<(Ssrc, Binding)>,
}

/// The SSRCs of one layer.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) section: usize,
    pub(super) layer: Layer,
    media: Option<Ssrc>,
    rtx: Option<Ssrc>,
}

impl Place {
    fn slot(&mut self, rtx: bool) -> &mut Option<Ssrc> {
        if rtx { &mut self.rtx } else { &mut self.media }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Binding {
    pub(super) stream: usize,
    pub(super) rtx: bool,
    /// By nothing better than the payload type.
    guessed: bool,
    /// When its latest packet has come.
    pub(super) heard_at: Option<Instant>,
}

impl Sources {
    /// Makes a place for a layer of a section; returns its key.
    pub(super) fn add_place(&mut self, section: usize, layer: Layer) -> usize {
        self.places.insert(Place {
            section,
            layer,
            media: None,
            rtx: None,
        })
    }

    /// Removes places with the SSRCs that feed them, which are returned.
    pub(super) fn remove_places(&mut self, keys: &[usize]) -> Vec<Ssrc> {
        for key in keys {
            self.places.try_remove(*key);
        }
        let places = &self.places;
        let has_gone = |it: &mut (Ssrc, Binding)| !places.contains(it.1.stream);
        let gone = self.bindings.extract_if(.., has_gone);
        gone.map(|(ssrc, _)| ssrc).collect()
    }

    /// What the SSRC at an index feeds, and how.
    pub(super) fn get(&self, at: usize) -> Option<(&Place, &Binding)> {
        let (_, binding) = self.bindings.get(at)?;
        Some((self.places.get(binding.stream)?, binding))
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<(&Place, &mut Binding)> {
        let (_, binding) = self.bindings.get_mut(at)?;
        Some((self.places.get(binding.stream)?, binding))
    }

    /// The media SSRC that feeds a place.
    #[cfg(test)]
    pub(super) fn media_ssrc(&self, place: usize) -> Option<Ssrc> {
        self.places.get(place)?.media
    }

    /// How many SSRCs are known.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.bindings.len()
    }

    /// Whether an SSRC is in use, or may come into it.
    pub(super) fn is_in_use(&self, now: Instant, ssrc: Ssrc) -> bool {
        let known = self.find(ssrc).ok().and_then(|at| self.bindings.get(at));
        known.is_some_and(|(_, binding)| !binding.is_silent(now, SILENT_AFTER))
    }

    /// The index of an SSRC that is known.
    pub(super) fn find(&self, ssrc: Ssrc) -> Result<usize, usize> {
        self.bindings
            .binary_search_by_key(&ssrc, |&(known, _)| known)
    }

    /// Puts `ssrc` into its place, out of any other and instead of the SSRC there. Refused if
    /// that would be one too many, or a guess against better knowledge. Returns its index in
    /// the list. Without `now` nothing has to give way.
    pub(super) fn bind(
        &mut self,
        now: Option<Instant>,
        ssrc: Ssrc,
        binding: Binding,
    ) -> Option<usize> {
        let occupant = *self.places.get_mut(binding.stream)?.slot(binding.rtx);
        let displaced = occupant.and_then(|occupant| self.find(occupant).ok());
        let gives_way = |known: &Binding| {
            let is_silent = |now| known.is_silent(now, GIVES_WAY_AFTER);
            known.guessed || known.heard_at.is_none() || now.is_some_and(is_silent)
        };
        if binding.guessed
            && let Some((_, known)) = displaced.and_then(|at| self.bindings.get(at))
            && !gives_way(known)
        {
            return None;
        }
        let known = self.find(ssrc).ok();
        if displaced.is_none() && known.is_none() && self.bindings.len() >= MAX_SOURCES {
            let silent = self.longest_silent(now?)?;
            self.unbind(silent);
        }
        for ssrc in [occupant, known.map(|_| ssrc)].into_iter().flatten() {
            self.unbind(ssrc);
        }
        *self.places.get_mut(binding.stream)?.slot(binding.rtx) = Some(ssrc);
        let at = self.find(ssrc).unwrap_or_else(|at| {
            self.bindings.insert(at, (ssrc, binding));
            at
        });
        Some(at)
    }

    fn longest_silent(&self, now: Instant) -> Option<Ssrc> {
        let heard = self
            .bindings
            .iter()
            .filter(|(_, it)| it.is_silent(now, SILENT_AFTER));
        let longest = heard.min_by_key(|(_, it)| it.heard_at)?;
        Some(longest.0)
    }

    fn unbind(&mut self, ssrc: Ssrc) {
        let Ok(at) = self.find(ssrc) else {
            return;
        };
        let (_, binding) = self.bindings.remove(at);
        if let Some(place) = self.places.get_mut(binding.stream) {
            *place.slot(binding.rtx) = None;
        }
    }
}

impl Binding {
    pub(super) fn new(stream: usize, rtx: bool, guessed: bool) -> Self {
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
