namespace go far
struct D { 1: double d }
struct H { 1: string s }
typedef set<D> Ds
typedef map<D, H> Dm
