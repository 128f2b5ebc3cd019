// golang.org/x/oauth2 acts for a person: PKCE is its own; `state` and `iss` in the answer are the program's to compare.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/url"
	"os"

	"golang.org/x/oauth2"
)

func actForPerson(ctx context.Context, authorize, token, userinfo string) {
	config := oauth2.Config{
		ClientID:    facts.ClientID,
		Endpoint:    oauth2.Endpoint{AuthURL: authorize, TokenURL: token, AuthStyle: oauth2.AuthStyleInParams},
		RedirectURL: facts.RedirectURI,
		Scopes:      []string{facts.Scope},
	}
	verifier, state := oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	back := cameBackTo(config.AuthCodeURL(
		state, oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("resource", facts.Resource),
	)).Query()
	if back.Get("state") != state || back.Get("iss") != facts.Issuer {
		log.Fatalf("an answer to something else: %v", back)
	}
	told := map[string]any{}
	given, err := config.Exchange(ctx, back.Get("code"), oauth2.VerifierOption(verifier))
	told["token"] = outcome(given, err)
	if err == nil {
		source := oauth2.StaticTokenSource(given)
		told["api"] = call(oauth2.NewClient(ctx, source), facts.API)
		told["userinfo"] = call(oauth2.NewClient(ctx, source), userinfo)
		if facts.Thief != nil {
			thief := withCertificate(facts.Thief.Cert, facts.Thief.Key)
			told["stolen"] = call(oauth2.NewClient(context.WithValue(ctx, oauth2.HTTPClient, thief), source), facts.API)
		}
		old := &oauth2.Token{RefreshToken: given.RefreshToken}
		told["refreshed"] = outcome(config.TokenSource(ctx, old).Token())
	}
	check(json.NewEncoder(os.Stdout).Encode(told))
}

// Where the browser came back to after it was sent to this URL: whoever runs the program knows.
func cameBackTo(address string) *url.URL {
	told, err := json.Marshal(map[string]string{"browser": address})
	check(err)
	fmt.Println(string(told))
	lines := bufio.NewScanner(os.Stdin)
	lines.Scan()
	back, err := url.Parse(lines.Text())
	check(err)
	return back
}
