// A receiver of push notifications in Go, without any module: go run receiver.go
//
// WEBHOOK_SECRET is the `secret` of the config.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	tolerance    = 5 * time.Minute
	maxBodyBytes = 32 << 20
)

var key = readKey(os.Getenv("WEBHOOK_SECRET"))

// The notifications that were dealt with. Keep them where you keep what they did, and write both at once.
var handled sync.Map

// What follows whsec_ is base64; any other secret is its own bytes.
func readKey(secret string) []byte {
	if secret == "" {
		log.Fatal("WEBHOOK_SECRET must be set")
	}
	if !strings.HasPrefix(secret, "whsec_") {
		return []byte(secret)
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		log.Fatal("WEBHOOK_SECRET must be base64 after whsec_")
	}
	return decoded
}

// Whether somebody who knows the secret sent exactly this, not long ago.
func isGenuine(header http.Header, body []byte) bool {
	id, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if id == "" || strings.Contains(id, ".") || err != nil {
		return false
	}
	if age := time.Since(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	expected := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	// Several while a secret is being replaced.
	for _, signature := range strings.Split(header.Get("webhook-signature"), " ") {
		if hmac.Equal(expected, []byte(signature)) {
			return true
		}
	}
	return false
}

type notification struct {
	ID      string  `json:"id"`
	Payload payload `json:"payload"`
}

type payload struct {
	StatusUpdate *struct {
		TaskID string `json:"taskId"`
		Status struct {
			State string `json:"state"`
		} `json:"status"`
	} `json:"statusUpdate"`
	ArtifactUpdate *struct {
		TaskID string `json:"taskId"`
	} `json:"artifactUpdate"`
}

// One notification, or those of a batch.
func parse(id string, body []byte) ([]notification, error) {
	if strings.HasPrefix(strings.TrimSpace(string(body)), "[") {
		var batch []notification
		err := json.Unmarshal(body, &batch)
		return batch, err
	}
	single := notification{ID: id}
	err := json.Unmarshal(body, &single.Payload)
	return []notification{single}, err
}

func handle(p payload) {
	switch {
	case p.StatusUpdate != nil:
		fmt.Printf("%s: %s\n", p.StatusUpdate.TaskID, p.StatusUpdate.Status.State)
	case p.ArtifactUpdate != nil:
		fmt.Printf("%s: artifactUpdate\n", p.ArtifactUpdate.TaskID)
	}
}

func receive(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/validate") {
		w.Header().Set("content-type", "text/plain")
		io.WriteString(w, r.URL.Query().Get("challenge"))
		return
	}
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	// The bytes as they came: JSON that was parsed and written again has another signature.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if !isGenuine(r.Header, body) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	notifications, err := parse(r.Header.Get("webhook-id"), body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for _, one := range notifications {
		if _, isKnown := handled.LoadOrStore(one.ID, true); !isKnown {
			handle(one.Payload)
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8790"
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("Ready on http://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, http.HandlerFunc(receive)))
}
