"""From a base to a late-interaction model: found and checked, built with the recipe, saved.

``base`` finds and checks a base without importing torch; ``recipe`` says what a fresh ColBERT is
made of; ``markers`` makes its tokens; ``build`` puts the model together.
"""
