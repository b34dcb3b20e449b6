namespace go kitex
struct K { 1: i32 k }
