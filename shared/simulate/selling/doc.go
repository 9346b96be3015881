// Package selling is the quarter of those who buy at stores: people who buy, claim, restore,
// renew, cancel, upgrade, ask for their money and sometimes get it, give to others, spend, are
// granted things and lose them, become one with another and are forgotten, at the worst
// moments; and the watch that holds every write of ours against what the stores know.
//
// What is promised is worked out from the stores' own truth, from what people asked for, and
// from the arithmetic of books, and shares no code with what it watches. Most of it is checked
// within each commit; what can only hold once everything was heard of is checked at rest.
package selling
