Feature: The control plane
  A model is swapped under load without losing a task, a bad one leaves the old in its place, and a model can
  be taken out of service and back into it.

  @ORCH-MODEL-5
  Scenario: A reload under load loses nothing
    Given a daemon of its own with
      | pools[0].slots=1 |
    And the model in its home as "other.gguf"
    And I submit an interactive task "r" of 60 tokens
    And "r" is running
    And I submit an interactive task "waits" of 6 tokens
    When I POST "/v1/pools/default/reload" with the body
      """
      {"new_model_ref": "file:$HOME/other.gguf"}
      """
    Then the status is 200
    And the field "status" is "reloaded"
    And the field "model_ref" contains "other.gguf"
    And the open stream of "r" ends with "length"
    And "r" has 60 tokens
    And "waits" has 6 tokens
    When I GET "/health"
    Then the field "pools[0].model_ref" contains "other.gguf"
    When I submit an interactive task "next" of 4 tokens
    Then "next" ends with "length"

  @ORCH-MODEL-6
  Scenario: A broken model leaves the old one in its place
    Given a daemon of its own with
      | pools[0].slots=1 |
    And half of the model in its home as "half.gguf"
    And I submit an interactive task "r" of 60 tokens
    And "r" is running
    And I submit an interactive task "waits" of 6 tokens
    When I POST "/v1/pools/default/reload" with the body
      """
      {"new_model_ref": "file:$HOME/half.gguf"}
      """
    Then the status is 409
    And the body has exactly the keys "status, code, message"
    And the field "status" is "rollback"
    And the field "code" is "MODEL_INVALID"
    And the message contains "half.gguf"
    And the open stream of "r" ends with "length"
    And "r" has 60 tokens
    And "waits" has 6 tokens
    When I POST "/v1/pools/default/reload" with the body
      """
      {"new_model_ref": "file:$HOME/nothing.gguf"}
      """
    Then the status is 409
    And the field "code" is "MODEL_UNAVAILABLE"
    When I GET "/health"
    Then the status is 200
    And the field "pools[0].state" is "ready"
    When I submit an interactive task "next" of 4 tokens
    Then "next" ends with "length"

  @ORCH-MODEL-8 @HOME-MODEL-1
  Scenario: A model is retired and activated again
    Given a daemon of its own with
      | pools[0].slots=1 |
    And I submit an interactive task "r" of 60 tokens
    And "r" is running
    And I submit an interactive task "waits" of 6 tokens
    And its workers are noted
    When I POST "/v1/models/default/state" with the body
      """
      {"state": "Retired"}
      """
    Then the status is 200
    And the body is exactly
      """
      {"model_id": "default", "state": "Retired"}
      """
    And "waits" ends with the error "POOL_UNAVAILABLE"
    And the open stream of "r" ends with "length"
    And none of its workers is left
    And the gauge "model_state" with "model_id=default, state=Retired" is 1
    When I POST "/v1/tasks" with the body
      """
      {"prompt": "x"}
      """
    Then the status is 503
    And it is an error envelope with the code "POOL_UNAVAILABLE"
    When I POST "/v1/models/default/state" with the body
      """
      {"state": "Active"}
      """
    Then the status is 200
    And the daemon's health becomes "ok"
    And the gauge "model_state" with "model_id=default, state=Active" is 1
    When I submit an interactive task "next" of 4 tokens
    Then "next" ends with "length"

  @ORCH-MODEL-8 @HOME-MODEL-1
  Scenario Outline: There are two states and no other
    Given a daemon
    When I POST "/v1/models/default/state" with the body
      """
      {"state": "<state>"}
      """
    Then the status is 400
    And it is an error envelope with the code "INVALID_PARAMS"
    And the message contains "`Active`"

    Examples:
      | state  |
      | Paused |
      | active |
      | Old    |

  @ORCH-ERR-1 @ORCH-SEC-2
  Scenario: A pool that nobody has, and a caller without the token
    Given a daemon
    When I POST "/v1/pools/nobody/reload" with the body
      """
      {"new_model_ref": "starter"}
      """
    Then the status is 404
    And it is an error envelope with the code "INVALID_PARAMS"
    And the message contains "`default`"
    When I POST "/v1/pools/default/reload" without a token
    Then the status is 401
    When I POST "/v1/models/default/state" without a token
    Then the status is 401
