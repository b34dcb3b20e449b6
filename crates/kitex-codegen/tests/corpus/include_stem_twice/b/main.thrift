namespace go bm
struct U { 1: i32 x }
