namespace go rr
union U { 1: i32 a = 1, 2: string b = "x" }
struct S { 1: U u = {}, 2: required U v = {"b": "q"}, 3: optional U w = {"a": 3}, 4: list<U> l = [{"a": 1}, {"b": "c"}], 5: map<string, U> m = {"k": {"a": 1}} }
const U X = {"a": 1}
struct T { 1: U u = X, 2: list<U> l = [X, X] }
