namespace go rr
union Empty {}
struct None {}
exception X {}
enum Never {}
struct S { 1: Empty a, 2: optional Empty b = {}, 3: required Empty c, 4: list<Empty> d, 5: map<Empty, Empty> e, 6: set<Empty> f, 7: required None g, 8: required Never h, 9: list<Never> i, 10: map<Never, Never> j, 11: required list<Empty> k = [{}], 12: optional Never l }
const Empty E = {}
const None NO = {}
union U { 1: Empty e, 2: None n, 3: Never v }
service V { Empty A(1: Empty e) throws (1: X x), Empty B(1: Empty e) (streaming.mode="bidirectional"), None C(1: None n) (streaming.mode="client"), Never D(1: Never n), U E(1: U u) (streaming.mode="server") }
