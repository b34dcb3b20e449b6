namespace go r
struct Lone { 1: i32 x }
