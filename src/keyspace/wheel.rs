//! shim
#[derive(Default)]
pub struct Wheel;
impl Wheel {
    pub fn new(_: u64) -> Wheel {
        Wheel
    }
    pub fn add(&mut self, _: u64, _: u64) {}
    pub fn note_dead(&mut self) {}
    pub fn advance(&mut self, _: u64, _: usize, mut _f: impl FnMut(u64)) {}
}
