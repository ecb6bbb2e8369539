Feature: The control plane
  A model is swapped under load without losing a task, a bad one leaves the old in its place, and a model can
  be taken out of service and back into it.

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
