// Package apple plays the App Store: it sells products, signs transactions the way Apple
// signs them and answers the App Store Server API. The one idea: everything it signs hangs
// on a certificate chain in Apple's shape whose root was made up at start, so that the code
// under test verifies for real, against another anchor.
package apple
