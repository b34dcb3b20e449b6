namespace go rr
exception X {}
exception Y {}
service V { void A() throws (1: X x;), void B() throws (1: X x 2: Y y), void C() throws (1: optional X x), void D() throws (1: required X x), void E() throws (1: X x = {}) , oneway void F() }
