//! Which addresses living pods show. The leader of a large cluster keeps that as masks and numbers, a test as a [`Living`].

use manifold_crds::ipam::BlockCidr;

use super::Living;

/// What living pods show in a domain.
pub trait Showing {
    /// Which addresses of a block.
    fn mask(&self, block: BlockCidr) -> u16;

    /// The blocks from one to another, both included, of which any address is shown, with these.
    fn masks(&self, first: BlockCidr, last: BlockCidr) -> Vec<(BlockCidr, u16)>;

    /// Who shows which address of a block.
    fn living(&self, block: BlockCidr) -> Living;
}

impl Showing for Living {
    fn mask(&self, block: BlockCidr) -> u16 {
        self.range(block.start()..=block.last())
            .fold(0, |mask, (ip, _)| mask | BlockCidr::offset_of(*ip).bit())
    }

    fn masks(&self, first: BlockCidr, last: BlockCidr) -> Vec<(BlockCidr, u16)> {
        let mut masks: Vec<(BlockCidr, u16)> = Vec::new();
        for ip in self.range(first.start()..=last.last()).map(|(ip, _)| *ip) {
            let (block, bit) = (BlockCidr::of(ip), BlockCidr::offset_of(ip).bit());
            match masks.last_mut().filter(|(last, _)| *last == block) {
                Some((_, mask)) => *mask |= bit,
                None => masks.push((block, bit)),
            }
        }
        masks
    }

    fn living(&self, block: BlockCidr) -> Living {
        self.range(block.start()..=block.last()).map(|(ip, shown)| (*ip, shown.clone())).collect()
    }
}
