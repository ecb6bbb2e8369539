Feature: Sessions
  A conversation finds its KV cache again, can be asked about, and can be evicted.

  Background:
    Given a daemon

  @ORCH-SESS-4
  Scenario: A session that is not used is forgotten
    Given a daemon with
      | sessions.ttl_s=1 |
    And I submit the task "a" with
      """
      {"session_id": "0b7c1a52-3d44-4f0e-8b1a-000000000003", "prompt": "One, two,", "max_tokens": 2}
      """
    And "a" ends with "length"
    Then "/v1/sessions/0b7c1a52-3d44-4f0e-8b1a-000000000003" becomes 404
