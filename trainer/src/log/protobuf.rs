//! The few protocol buffer messages of TensorBoard's event files (event.proto, summary.proto).

/// How a field's value is written.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

/// A message being written. Field numbers are below 16, so a key is one byte.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    fn key(&mut self, field: u8, kind: u8) {
        self.0.push(field << 3 | kind);
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn varint(mut self, field: u8, number: u64) -> Self {
        self.key(field, VARINT);
        self.number(number);
        self
    }

    fn double(mut self, field: u8, number: f64) -> Self {
        self.key(field, FIXED64);
        self.0.extend(number.to_le_bytes());
        self
    }

    fn float(mut self, field: u8, number: f32) -> Self {
        self.key(field, FIXED32);
        self.0.extend(number.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u8, bytes: &[u8]) -> Self {
        self.key(field, BYTES);
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn message(self, field: u8, message: &Message) -> Self {
        self.bytes(field, &message.0)
    }

    fn doubles(self, field: u8, numbers: &[f64]) -> Self {
        let packed: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.bytes(field, &packed)
    }
}

/// How numbers are distributed (`HistogramProto`): each bucket has those from the limit before it to its own.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Histogram {
    pub min: f64,
    pub max: f64,
    pub num: f64,
    pub sum: f64,
    pub squares: f64,
    pub limits: Vec<f64>,
    pub counts: Vec<f64>,
}

/// What an `Event` says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said<'a> {
    /// The first of a file: which version of the format it has.
    FileVersion,
    /// What was said about this and later steps is void.
    Start,
    /// Numbers by tag.
    Scalars(&'a [(String, f64)]),
    /// A distribution.
    Histogram(&'a str, &'a Histogram),
}

/// An `Event` at a time in seconds since 1970.
pub(super) fn event(wall_time: f64, step: u64, said: &Said<'_>) -> Vec<u8> {
    let event = Message::default().double(1, wall_time);
    // Numbers of 0 are left out, as protocol buffers of version 3 do.
    let event = if step > 0 { event.varint(2, step) } else { event };
    let event = match said {
        Said::FileVersion => event.bytes(3, b"brain.Event:2"),
        Said::Start => event.message(7, &Message::default().varint(1, 1)),
        Said::Scalars(values) => {
            let value = |(tag, number): &(String, f64)| Message::default().bytes(1, tag.as_bytes()).float(2, *number as f32);
            event.message(5, &values.iter().map(value).fold(Message::default(), |summary, value| summary.message(1, &value)))
        }
        Said::Histogram(tag, h) => {
            let numbers = Message::default().double(1, h.min).double(2, h.max).double(3, h.num).double(4, h.sum);
            let numbers = numbers.double(5, h.squares).doubles(6, &h.limits).doubles(7, &h.counts);
            let value = Message::default().bytes(1, tag.as_bytes()).message(5, &numbers);
            event.message(5, &Message::default().message(1, &value))
        }
    };
    event.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decoded by hand: key 0x09 is field 1 as 8 bytes, 0x10 field 2 as a varint (300 = 0b10_0101100), 0x2A field 5 of 12 bytes,
    /// therein 0x0A field 1 of 10 bytes, therein field 1 of 3 bytes and 0x15 field 2 as 4 bytes.
    #[test]
    fn scalars_by_hand() {
        let expected = [
            &[0x09, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x10, 0xAC, 0x02, 0x2A, 12, 0x0A, 10, 0x0A, 3][..],
            b"a/b",
            &[0x15, 0, 0, 0, 0x3F],
        ];
        assert_eq!(event(2.0, 300, &Said::Scalars(&[("a/b".into(), 0.5)])), expected.concat());
    }

    #[test]
    fn beginnings_by_hand() {
        let time = [0x09, 0, 0, 0, 0, 0, 0, 0, 0x40];
        assert_eq!(event(2.0, 5, &Said::Start), [&time[..], &[0x10, 5, 0x3A, 2, 0x08, 1]].concat());
        assert_eq!(event(2.0, 0, &Said::FileVersion), [&time[..], &[0x1A, 13], b"brain.Event:2"].concat());
    }
}
