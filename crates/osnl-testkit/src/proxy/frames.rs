#[derive(Default)]
pub(super) struct PartialFrame {
    rest: Vec<u8>,
}

const HEADER: usize = 7;
const METHOD: u8 = 1;
const DELIVER: [u8; 4] = [0, 60, 0, 60];

impl PartialFrame {
    pub(super) fn pass(&mut self, bytes: &[u8], withhold: bool) -> Vec<u8> {
        self.rest.extend_from_slice(bytes);
        let mut passed = Vec::new();
        while let Some(size) = self.rest.get(3..HEADER) {
            let size = u32::from_be_bytes(size.try_into().unwrap()) as usize + HEADER + 1;
            if self.rest.len() < size {
                break;
            }
            let frame: Vec<u8> = self.rest.drain(..size).collect();
            let kind = frame[0];
            let content = kind == 2 || kind == 3;
            if !(withhold && (content || kind == METHOD && frame[HEADER..].starts_with(&DELIVER))) {
                passed.extend(frame);
            }
        }
        passed
    }
}
