//! The part of JSON that records are usually written in, and strings and decimal fractions as msgspec writes them.

/// A position in a JSON text. All methods return `None` for anything invalid or unusual, which Python then reads.
pub struct Cursor<'a> {
    bytes: &'a [u8],
    place: usize,
}

/// A whole number up to this many digits, and a power of ten with this exponent, are exact as f64.
const EXACT_DIGITS: usize = 15;
const POWERS: [f64; EXACT_DIGITS + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes, place: 0 }
    }

    /// The next byte, 0 at the end: no valid JSON contains it.
    #[inline]
    fn peek(&self) -> u8 {
        self.bytes.get(self.place).copied().unwrap_or(0)
    }

    #[inline]
    fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.place += 1;
        }
    }

    /// Skips whitespace and returns the next byte.
    #[inline]
    pub fn token(&mut self) -> u8 {
        self.skip_space();
        let byte = self.peek();
        self.place += 1;
        byte
    }

    pub fn is_at_end(&mut self) -> bool {
        self.skip_space();
        self.place == self.bytes.len()
    }

    /// Reads a string without escapes; its bytes may be invalid UTF-8.
    #[inline]
    pub fn string(&mut self) -> Option<&'a [u8]> {
        if self.token() != b'"' {
            return None;
        }
        let start = self.place;
        loop {
            let byte = *self.bytes.get(self.place)?;
            self.place += 1;
            match byte {
                b'"' => return Some(&self.bytes[start..self.place - 1]),
                b'\\' | 0..=31 => return None,
                _ => {}
            }
        }
    }

    /// Reads `null`, if that is next.
    #[inline]
    pub fn null(&mut self) -> bool {
        self.literal(b"null")
    }

    /// Reads exactly these bytes, if they are next.
    #[inline]
    pub fn literal(&mut self, text: &[u8]) -> bool {
        self.skip_space();
        let is_next = self.bytes[self.place.min(self.bytes.len())..].starts_with(text);
        self.place += text.len() * usize::from(is_next);
        is_next
    }

    /// Reads a number other than -0, correctly rounded.
    #[inline]
    pub fn number(&mut self) -> Option<f64> {
        self.skip_space();
        let start = self.place;
        let is_negative = self.peek() == b'-';
        self.place += usize::from(is_negative);
        let first = self.place;
        let (mut digits, whole_digits) = self.digits(0);
        if whole_digits == 0 || (whole_digits > 1 && self.bytes[first] == b'0') {
            return None;
        }
        let mut decimals = 0;
        if self.peek() == b'.' {
            self.place += 1;
            (digits, decimals) = self.digits(digits);
            if decimals == 0 {
                return None;
            }
        }
        let has_exponent = matches!(self.peek(), b'e' | b'E');
        if has_exponent {
            self.place += 1;
            self.place += usize::from(matches!(self.peek(), b'+' | b'-'));
            if self.digits(0).1 == 0 {
                return None;
            }
        }
        if has_exponent || whole_digits + decimals > EXACT_DIGITS {
            // Rust's parser rounds correctly, as does msgspec's.
            let value: f64 = std::str::from_utf8(&self.bytes[start..self.place]).ok()?.parse().ok()?;
            return (value != 0.0 || !is_negative).then_some(value);
        }
        let value = digits as f64 / POWERS[decimals];
        if !is_negative {
            Some(value)
        } else if digits == 0 {
            None
        } else {
            Some(-value)
        }
    }

    /// Reads digits; returns `number` followed by them, wrapped if it is too long, and their count.
    #[inline]
    fn digits(&mut self, mut number: u64) -> (u64, usize) {
        let start = self.place;
        while self.peek().is_ascii_digit() {
            number = number.wrapping_mul(10).wrapping_add(u64::from(self.peek() - b'0'));
            self.place += 1;
        }
        (number, self.place - start)
    }
}

/// Writes a string with its quotes.
#[inline]
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if text.bytes().all(|byte| byte > 31 && byte != b'"' && byte != b'\\') {
        out.extend_from_slice(text.as_bytes());
    } else {
        text.bytes().for_each(|byte| write_escaped(out, byte));
    }
    out.push(b'"');
}

fn write_escaped(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        8 => b'b',
        9 => b't',
        10 => b'n',
        12 => b'f',
        13 => b'r',
        0..=31 => return out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        _ => return out.push(byte),
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Writes n / 10^DECIMALS, for up to 6 decimals and an exact n, in the shortest form that gives the same f64.
#[inline]
pub fn write_decimal<const DECIMALS: usize>(out: &mut Vec<u8>, n: u64) {
    let power = 10u64.pow(DECIMALS as u32);
    let (whole, rest) = (n / power, (n % power) as u32);
    if DECIMALS == 6 && whole == 0 && 0 < rest && rest < 10 {
        // msgspec writes numbers below 1e-5 with an exponent.
        out.extend_from_slice(&[b'0' + rest as u8, b'e', b'-', b'6']);
        return;
    }
    // One digit, the point, and the decimals: a copy of a fixed size is faster.
    let mut text = [b'.'; 8];
    for place in 0..DECIMALS {
        text[2 + place] = b'0' + (rest / 10u32.pow((DECIMALS - 1 - place) as u32) % 10) as u8;
    }
    let mut end = 2 + DECIMALS;
    while end > 3 && text[end - 1] == b'0' {
        end -= 1;
    }
    if whole > 9 {
        write_integer(out, whole);
        out.extend_from_slice(&text[1..end]);
        return;
    }
    text[0] = b'0' + whole as u8;
    let before = out.len();
    out.extend_from_slice(&text);
    out.truncate(before + end);
}

#[inline]
pub fn write_integer(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0u8; 20];
    let mut place = digits.len();
    loop {
        place -= 1;
        digits[place] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            return out.extend_from_slice(&digits[place..]);
        }
    }
}
