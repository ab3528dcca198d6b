//! A participant with a valid session claims addresses that are not its own, by forged checks.

mod support;

use std::net::SocketAddr;

use kinguicall_netem::{ClientIndex, NetemConfig, Probability, RandomLoss, World};
use kinguicall_proto::api::{MediaKind, ShardId};
use support::{PACKETS_PER_FRAME, Vp8Source};

const SHARD: ShardId = ShardId(0);
const SECOND_OF_FRAMES: u32 = 30;

struct Call {
    world: World,
    publisher: ClientIndex,
    viewer: ClientIndex,
    viewer_ssrc: u32,
    source: Vp8Source,
}

fn call() -> Call {
    let mut world = World::new(1);
    let publisher = world.connect(0, false);
    let viewer = world.connect(0, false);
    world.connect_attacker(0);
    world.run_until_connected();
    let track = world.publish(publisher, MediaKind::Video, 1);
    let (_, viewer_ssrc) = world.subscribe(viewer, &track);
    world.subscribe_attacker(0, &track);
    let source = Vp8Source::new(&track, 0, 1_000);
    Call {
        world,
        publisher,
        viewer,
        viewer_ssrc,
        source,
    }
}

impl Call {
    /// Video for so many seconds, with a forged check from `claimed` every tenth of one. Returns how
    /// many packets the viewer got.
    fn run(&mut self, seconds: u32, claimed: SocketAddr) -> u64 {
        let before = self.received();
        for _ in 0..10 * seconds {
            let check = self.world.attackers[0].nominating_check();
            self.world.inject(SHARD, claimed, check);
            self.source.run(&mut self.world, SECOND_OF_FRAMES / 10);
        }
        self.received() - before
    }

    fn received(&self) -> u64 {
        let packets = self.world.clients[self.viewer.0].packets(self.viewer_ssrc);
        packets.count() as u64
    }
}

#[test]
fn an_address_in_use_cannot_be_taken() {
    for take_the_publishers in [true, false] {
        let mut call = call();
        let owner = if take_the_publishers {
            call.publisher
        } else {
            call.viewer
        };
        let claimed = call.world.clients[owner.0].seen_as;
        let got = call.run(20, claimed);
        let all = 20 * u64::from(SECOND_OF_FRAMES) * PACKETS_PER_FRAME;
        assert!(got >= all - 2 * PACKETS_PER_FRAME, "{got} of {all}");
    }
}

#[test]
fn an_owner_that_was_silent_gets_its_address_back() {
    let mut call = call();
    let owner = call.world.clients[call.publisher.0].seen_as;
    call.run(1, owner);
    let dead = NetemConfig::new().loss(RandomLoss::new(Probability::ONE));
    call.world.clients[call.publisher.0].set_network(&dead, 1);
    call.run(8, owner);
    let open = NetemConfig::new();
    call.world.clients[call.publisher.0].set_network(&open, 1);
    call.run(4, owner);
    let got = call.run(4, owner);
    let all = 4 * u64::from(SECOND_OF_FRAMES) * PACKETS_PER_FRAME;
    assert!(got >= all - 2 * PACKETS_PER_FRAME, "{got} of {all}");
}

#[test]
fn whoever_lives_at_a_forged_address_gets_next_to_nothing() {
    let mut call = call();
    call.world.attackers[0].keeps_quiet = true;
    let mut stray = Vec::new();
    for n in 0..20 {
        // From one address after the other, as each is new.
        let victim = ([203, 0, 113, 1], 1_000 + n / 10).into();
        call.run(1, victim);
        stray.push(call.world.stray_bytes);
    }
    let limit = 160_000 + 20 * 10_000;
    assert!(stray[19] < limit, "{stray:?}");
    assert!(stray[19] > 100_000, "its media has moved: {stray:?}");
}
