//! A growing array of equal items that never moves what it holds.
//!
//! In: items. Out: dense numbers for them. Pages of a fixed size: growing copies nothing, and a
//! freed number is used again.

const PAGE_ITEMS_LOG2: u32 = 14;
const PAGE_ITEMS: usize = 1 << PAGE_ITEMS_LOG2;

/// Items in pages, addressed by a dense number.
#[derive(Debug)]
pub struct Slab<T> {
    pages: Vec<Vec<T>>,
    free: Vec<u32>,
    len: u32,
}

impl<T> Slab<T> {
    /// An empty one.
    pub fn new() -> Slab<T> {
        Slab { pages: Vec::new(), free: Vec::new(), len: 0 }
    }

    /// Stores an item; its number.
    pub fn insert(&mut self, item: T) -> u32 {
        if let Some(id) = self.free.pop() {
            self[id] = item;
            return id;
        }
        let id = self.len;
        if (id as usize).is_multiple_of(PAGE_ITEMS) {
            self.pages.push(Vec::with_capacity(PAGE_ITEMS));
        }
        if let Some(page) = self.pages.last_mut() {
            page.push(item);
        }
        self.len += 1;
        id
    }

    /// Gives a number back; the item stays until the number is used again.
    pub fn release(&mut self, id: u32) {
        self.free.push(id);
    }

    /// Numbers handed out so far, freed ones among them.
    pub fn high_water(&self) -> u32 {
        self.len
    }

    /// Bytes of memory behind it.
    pub fn heap_bytes(&self) -> usize {
        self.pages.len() * PAGE_ITEMS * size_of::<T>() + self.free.capacity() * size_of::<u32>()
    }
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;
    #[inline]
    fn index(&self, id: u32) -> &T {
        &self.pages[(id >> PAGE_ITEMS_LOG2) as usize][id as usize & (PAGE_ITEMS - 1)]
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, id: u32) -> &mut T {
        &mut self.pages[(id >> PAGE_ITEMS_LOG2) as usize][id as usize & (PAGE_ITEMS - 1)]
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab::new()
    }
}
