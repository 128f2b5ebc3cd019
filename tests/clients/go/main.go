// golang.org/x/oauth2/clientcredentials: the client id goes into the body (AuthStyleInParams), or it tries a Basic header
// with an empty secret first. It has no discovery, no introspection and no revocation.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"os"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

type pair struct{ Cert, Key string }

var facts struct {
	Issuer, CA, Cert, Key, Scope, API, Method string
	ClientID                                  string `json:"client_id"`
	ClientSecret                              string `json:"client_secret"`
	RefreshToken                              string `json:"refresh_token"`
	RedirectURI                               string `json:"redirect_uri"`
	Resource                                  string
	Thief                                     *pair
}

var styles = map[string]oauth2.AuthStyle{
	"tls":                 oauth2.AuthStyleInParams,
	"detected":            oauth2.AuthStyleAutoDetect,
	"client_secret_basic": oauth2.AuthStyleInHeader,
	"client_secret_post":  oauth2.AuthStyleInParams,
}

func main() {
	check(json.Unmarshal(read(os.Args[1]), &facts))

	httpClient := withCertificate(facts.Cert, facts.Key)
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, httpClient)

	var metadata struct {
		AuthorizationEndpoint string `json:"authorization_endpoint"`
		Aliases               struct {
			TokenEndpoint    string `json:"token_endpoint"`
			UserinfoEndpoint string `json:"userinfo_endpoint"`
		} `json:"mtls_endpoint_aliases"`
	}
	response, err := httpClient.Get(facts.Issuer + "/.well-known/oauth-authorization-server")
	check(err)
	check(json.NewDecoder(response.Body).Decode(&metadata))
	if facts.RedirectURI != "" {
		actForPerson(ctx, metadata.AuthorizationEndpoint, metadata.Aliases.TokenEndpoint, metadata.Aliases.UserinfoEndpoint)
		return
	}

	config := clientcredentials.Config{
		ClientID:     facts.ClientID,
		ClientSecret: facts.ClientSecret,
		TokenURL:     metadata.Aliases.TokenEndpoint,
		Scopes:       []string{facts.Scope},
		AuthStyle:    styles[facts.Method],
	}
	told := map[string]any{"client_id": facts.ClientID}
	token, err := config.Token(ctx)
	told["token"] = outcome(token, err)
	if err == nil {
		source := oauth2.StaticTokenSource(token)
		told["api"] = call(oauth2.NewClient(ctx, source), facts.API)
		if facts.Thief != nil {
			thief := withCertificate(facts.Thief.Cert, facts.Thief.Key)
			told["stolen"] = call(oauth2.NewClient(context.WithValue(ctx, oauth2.HTTPClient, thief), source), facts.API)
		}
	}
	if facts.RefreshToken != "" {
		endpoint := oauth2.Endpoint{TokenURL: config.TokenURL, AuthStyle: config.AuthStyle}
		refreshing := oauth2.Config{ClientID: config.ClientID, ClientSecret: config.ClientSecret, Endpoint: endpoint}
		told["refreshed"] = outcome(refreshing.TokenSource(ctx, &oauth2.Token{RefreshToken: facts.RefreshToken}).Token())
	}
	check(json.NewEncoder(os.Stdout).Encode(told))
}

func withCertificate(cert, key string) *http.Client {
	pair, err := tls.LoadX509KeyPair(cert, key)
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(read(facts.CA))
	config := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
}

func outcome(token *oauth2.Token, err error) map[string]any {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		return map[string]any{"status": refused.Response.StatusCode, "error": refused.ErrorCode}
	}
	check(err)
	return map[string]any{"access_token": token.AccessToken, "refresh_token": token.RefreshToken}
}

func call(client *http.Client, url string) map[string]any {
	response, err := client.Get(url)
	check(err)
	defer response.Body.Close()
	var body map[string]any
	check(json.NewDecoder(response.Body).Decode(&body))
	body["status"] = response.StatusCode
	return body
}

func read(path string) []byte {
	content, err := os.ReadFile(path)
	check(err)
	return content
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
