namespace go rr
exception A { 1: i32 a }
exception B { 1: i32 a }
service V { i32 Get(1: i32 e) throws (1: A e, 2: B E), i32 Two() throws (1: A success, 2: B Success), void Three() throws (1: A kitex, 2: B error), void Four() throws (1: A Rpc, 2: B Kitex) }
