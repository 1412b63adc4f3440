//! What a file holds, or shall hold, read in pieces: an executable may be larger than the memory that its reader has.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;

/// As much as is in memory of a file at a time.
const PIECE: usize = 64 << 10;

/// Bytes of ours, or those of a file that nobody changes meanwhile.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    Bytes(&'a [u8]),
    File(&'a Path),
}

/// Checksum and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    pub sum: u32,
    pub length: u64,
}

impl Content<'_> {
    pub fn sum(self) -> io::Result<Sum> {
        let (mut hasher, mut length) = (crc32fast::Hasher::new(), 0);
        self.read(|reader| {
            while let piece @ [_, ..] = reader.fill_buf()? {
                let count = piece.len();
                hasher.update(piece);
                length += count as u64;
                reader.consume(count);
            }
            Ok(())
        })?;
        Ok(Sum { sum: hasher.finalize(), length })
    }

    /// Whether the file at `path` holds the same.
    pub fn is_at(self, path: &Path) -> io::Result<bool> {
        let mut there = BufReader::with_capacity(PIECE, File::open(path)?);
        self.read(|reader| same(reader, &mut there))
    }

    pub(crate) fn copy_to(self, file: &mut File) -> io::Result<()> {
        self.read(|reader| io::copy(reader, file).map(drop))
    }

    fn read<T>(
        self,
        use_it: impl FnOnce(&mut BufReader<Box<dyn Read + '_>>) -> io::Result<T>,
    ) -> io::Result<T> {
        let inner: Box<dyn Read> = match self {
            Self::Bytes(bytes) => Box::new(bytes),
            Self::File(path) => Box::new(File::open(path)?),
        };
        use_it(&mut BufReader::with_capacity(PIECE, inner))
    }
}

fn same(one: &mut BufReader<impl Read>, other: &mut BufReader<impl Read>) -> io::Result<bool> {
    loop {
        let (a, b) = (one.fill_buf()?, other.fill_buf()?);
        // Pieces may end in different places.
        let common = a.len().min(b.len());
        if common == 0 {
            return Ok(a.len() == b.len());
        }
        if a.get(..common) != b.get(..common) {
            return Ok(false);
        }
        one.consume(common);
        other.consume(common);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_bytes_are_compared_to_their_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let bytes: Vec<u8> = (0..3 * PIECE + 7).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let is = |other: &[u8]| Content::Bytes(other).is_at(&path).unwrap();
        assert!(is(&bytes) && Content::File(&path).is_at(&path).unwrap());
        assert!(!is(&bytes[..bytes.len() - 1]) && !is(&[&bytes[..], b"x"].concat()) && !is(b""));
        let mut other = bytes.clone();
        other[2 * PIECE + 1] ^= 1;
        assert!(!is(&other));
        assert!(Content::File(&path).is_at(&dir.path().join("none")).is_err());
    }

    #[test]
    fn pieces_that_end_in_different_places_make_no_difference() {
        // As a disk that answers with what it has.
        let mut pieces = BufReader::with_capacity(5, &b"0123456789ab"[..]);
        let mut whole = BufReader::with_capacity(7, &b"0123456789ab"[..]);
        assert!(same(&mut pieces, &mut whole).unwrap());
    }

    #[test]
    fn the_sum_of_a_file_is_that_of_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let bytes = vec![b'x'; PIECE + 1];
        std::fs::write(&path, &bytes).unwrap();
        let sum = Content::File(&path).sum().unwrap();
        assert_eq!(sum, Content::Bytes(&bytes).sum().unwrap());
        assert_eq!(sum, Sum { sum: crc32fast::hash(&bytes), length: bytes.len() as u64 });
    }
}
