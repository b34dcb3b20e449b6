struct Top { 1: i32 a }
