Feature: Sessions
  A conversation finds its KV cache again, can be asked about, and can be evicted.

  Background:
    Given a daemon

  @ORCH-SESS-1
  Scenario: A session is known from its first task
    When I GET "/v1/sessions/0b7c1a52-3d44-4f0e-8b1a-000000000001"
    Then the status is 404
    And it is an error envelope with the code "INVALID_PARAMS"
    When I submit the task "first" with
      """
      {"session_id": "0b7c1a52-3d44-4f0e-8b1a-000000000001", "max_tokens": 4,
       "prompt": "It was a bright cold day in April, and the clocks were striking thirteen."}
      """
    And "first" ends with "length"
    And I GET "/v1/sessions/0b7c1a52-3d44-4f0e-8b1a-000000000001"
    Then the status is 200
    And the body has exactly the keys "ttl_ms_remaining, turns, kv_bytes, kv_warmth"
    And the field "turns" is 1
    And the field "kv_warmth" is over 0.9
    And the field "kv_bytes" is over 1000
    And I note the field "kv_bytes" as "one turn"
    When I submit the task "second" with
      """
      {"session_id": "0b7c1a52-3d44-4f0e-8b1a-000000000001", "max_tokens": 8,
       "prompt": "It was a bright cold day in April, and the clocks were striking thirteen. Winston Smith, his chin nuzzled into his breast in an effort to escape the vile wind, slipped quickly through the glass doors."}
      """
    And "second" ends with "length"
    And I GET "/v1/sessions/0b7c1a52-3d44-4f0e-8b1a-000000000001"
    Then the field "turns" is 2
    And the field "kv_bytes" is over the noted "one turn"

  @ORCH-SESS-1
  Scenario: An evicted session is gone
    Given I submit the task "a" with
      """
      {"session_id": "0b7c1a52-3d44-4f0e-8b1a-000000000002", "prompt": "One, two,", "max_tokens": 2}
      """
    And "a" ends with "length"
    When I DELETE "/v1/sessions/0b7c1a52-3d44-4f0e-8b1a-000000000002"
    Then the status is 204
    When I GET "/v1/sessions/0b7c1a52-3d44-4f0e-8b1a-000000000002"
    Then the status is 404
    When I DELETE "/v1/sessions/0b7c1a52-3d44-4f0e-8b1a-000000000002"
    Then the status is 404

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
