namespace go rr
service V { set<map<string, double>> M(1: map<list<double>, set<set<double>>> a, 2: optional set<double> b = [1.5], 3: required map<double, double> c) }
