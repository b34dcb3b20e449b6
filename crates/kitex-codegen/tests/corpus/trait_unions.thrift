namespace go rr
union Default { 1: i32 Default, 2: i32 default }
union Clone { 1: Default clone, 2: Clone Clone }
union Encode { 1: i32 decode, 2: i32 encode }
