namespace go rr
struct I32 { 1: i32 a }
struct HashMap {}
struct HashSet {}
struct AHashMap { 1: map<string, i32> m }
struct AHashSet { 1: set<i32> m }
struct VecMap { 1: map<double, i32> m}
struct VecSet { 1: set<double> m }
struct Duration {}
struct PhantomData {}
struct Debug { 1: i32 a}
struct Hash {}
struct Ord {}
exception Display { 1: string s }
exception StdError {}
struct Iterator {}
struct ToString {}
struct Fn {}
struct Copy { }
enum Eq { A }
enum Unknown { Unknown = 1, UNKNOWN = 2 }
union Known { 1: Unknown Unknown, 2: i32 unknown_ }
service V { I32 A(1: HashMap h) throws (1: Display d, 2: StdError s) }
