namespace go rr
union Empty {}
union Tree { 1: Tree left, 2: list<Tree> trees, 3: map<string, Tree> by, 4: Holder holder, 5: Empty empty }
struct Holder { 1: Tree tree, 2: required Tree needed, 3: optional Empty empty, 4: required Empty must, 5: Tree def = {"left": {}}, 6: list<Tree> l = [{}, {"empty": {}}] }
union Defaults { 1: i32 a = 5, 2: required string b, 3: optional Tree c }
typedef Tree Wood
struct Forest { 1: Wood wood, 2: set<Wood> woods, 3: map<Wood, Wood> map }
const Wood LOG = {"left": {"left": {}}}
exception Bad { 1: Tree tree, 2: Empty empty }
service V {
  Tree A(1: Tree t, 2: optional Tree o, 3: required Tree r) throws (1: Bad b)
  Empty B(1: Empty e)
  Tree C(1: Wood t) (streaming.mode = "bidirectional")
  Empty D(1: Empty e) (streaming.mode = "server")
}
