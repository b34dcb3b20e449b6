namespace go rr
exception X { 1: string m }
typedef X Y
service V { Y M(1: X x, 2: Y y, 3: list<Y> l) throws (1: Y e), X S(1: Y y) (streaming.mode="bidirectional"), Y T(1: X y) (streaming.mode="server") }
